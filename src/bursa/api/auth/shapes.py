"""What the routes of accounts take and answer, as types: read by them, published by OpenAPI.

Bodies take no field that is not named. Times are ISO texts, UTC with Z.
"""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from bursa.accounts.machines import LEVELS
from bursa.accounts.passwords import CHARS_MIN
from bursa.api.shapes import About, Ok

EMAIL_CHARS_MAX, PASSWORD_CHARS_MAX = 254, 256
NEXT_CHARS_MAX = 1_000

Email = Annotated[
    str,
    Meta(
        description="e-mail address",
        max_length=EMAIL_CHARS_MAX,
        extra_json_schema={"format": "email"},
    ),
]
Password = Annotated[
    str, Meta(description="password of the account", max_length=PASSWORD_CHARS_MAX)
]
NewPassword = Annotated[
    str,
    Meta(
        description="password to come: 10 to 256 characters",
        max_length=PASSWORD_CHARS_MAX,
        extra_json_schema={"minLength": CHARS_MIN},
    ),
]
Next = Annotated[
    str,
    Meta(
        description="path of this server that a form is led to; of no matter in JSON",
        max_length=NEXT_CHARS_MAX,
    ),
]
Secret = Annotated[str, Meta(description="what the link in the letter bears", max_length=200)]
ApiKey = Annotated[str, Meta(description="API key: idx_live_ and 64 hex digits", max_length=200)]
Instant = Annotated[str, Meta(description="ISO, UTC with Z")]
Maybe = Annotated[str | None, Meta(description="ISO, UTC with Z; null: not, or never")]
Token = Annotated[
    str, Meta(description="JWT for `Authorization: Bearer`; it ends after `expires_in`")
]
Life = Annotated[int, Meta(description="seconds until the token ends")]
Tier = Annotated[str, Meta(description="name of the tier that holds for it")]
KeyId = Annotated[str, Meta(description="id of the key")]
MachineName = Annotated[str, Meta(description="what the machine calls itself")]
Plugin = Annotated[str, Meta(description="version of its plugin")]


_Name = Annotated[str, Meta(max_length=100)]
_Password = Annotated[str, Meta(max_length=PASSWORD_CHARS_MAX)]
_Time = Annotated[str, Meta(max_length=40, extra_json_schema={"format": "date-time"})]


class _Form(Struct, forbid_unknown_fields=True):
    """A body or a row: no field beside those named."""


# -- what is sent ----------------------------------------------------------------------------------


class KeyForm(_Form):
    """The key to exchange."""

    api_key: ApiKey


class TokenForm(_Form):
    """The token to renew, where no `Authorization: Bearer` bears it."""

    token: Annotated[str, Meta(description="a token that ended not long ago", max_length=4_096)] = (
        ""
    )


class SignUpForm(_Form):
    """Who wants an account."""

    email: Email
    password: NewPassword
    name: Annotated[str, Meta(description="what one is called", max_length=100)] = ""


class SignInForm(_Form):
    """Who comes."""

    email: Email
    password: Password
    next: Next = ""


class SecretForm(_Form):
    """The link's token."""

    token: Secret


class EmailForm(_Form):
    """Whose password is forgotten."""

    email: Email


class ResetForm(_Form):
    """The link's token and the new password."""

    token: Secret
    password: NewPassword


class MeForm(_Form):
    """What changes of one's own account; what is left out stays."""

    name: Annotated[_Name | UnsetType, Meta(description="what one is called")] = UNSET
    new: Annotated[
        _Password | UnsetType,
        Meta(description="new password; wants the old one, and ends all other sessions"),
    ] = UNSET
    old: Annotated[_Password | UnsetType, Meta(description="present password")] = UNSET


class NewKeyForm(_Form):
    """A key to make."""

    name: Annotated[str, Meta(description="where it will live", min_length=1, max_length=100)]
    expires: Annotated[
        _Time | None, Meta(description="when it ends: ISO with an offset; null: never")
    ] = None


class UpgradeForm(_Form):
    """A plan that is wanted."""

    plan: Annotated[str, Meta(description="name of the plan", max_length=64)]
    note: Annotated[str, Meta(description="a word to whoever decides", max_length=1_000)] = ""


class ActivateForm(_Form):
    """A machine that wants a place."""

    api_key: ApiKey
    machine_id: Annotated[
        str, Meta(description="what the machine calls itself", min_length=1, max_length=100)
    ]
    plugin_version: Annotated[str, Meta(description="version of its plugin", max_length=64)]


class NothingForm(_Form):
    """Nothing is said: an empty object, or no body."""


class ReportForm(_Form):
    """What a plugin has to say. Control characters are taken out."""

    level: Annotated[
        str,
        Meta(
            description="how bad it is",
            pattern="^[a-z]{1,16}$",
            extra_json_schema={"enum": list(LEVELS)},
        ),
    ]
    event: Annotated[
        str, Meta(description="what happened, a stable word", pattern=r"^[A-Za-z0-9_.\-]{1,64}$")
    ]
    message: Annotated[str, Meta(description="and in words", max_length=2_000)] = ""


# -- what is answered ------------------------------------------------------------------------------


class TokenRow(_Form):
    """A token for a key."""

    token: Token
    expires_in: Life
    tier: Tier


class Slots(_Form):
    """Places for machines."""

    used: Annotated[int, Meta(description="machines that are activated")]
    allowed: Annotated[int, Meta(description="machines that may be at once")]


class ActivationRow(_Form):
    """A token for a machine."""

    token: Token
    expires_in: Life
    tier: Tier
    machine: Annotated[str, Meta(description="id of the machine's place")]
    slots: Annotated[Slots, Meta(description="the user's places")]


class AddressRow(_Form):
    """Whose account it is about."""

    email: Email


class SignedInRow(_Form):
    """Who signed in. The session is in the cookie."""

    email: Email
    role: Annotated[str, Meta(description="user, admin or superadmin")]
    csrf: Annotated[str, Meta(description="what every change shows in `X-CSRF-Token`")]


class NothingRow(_Form):
    """Done; there is nothing to tell."""


class RightsRow(_Form):
    """What one may have."""

    rate: Annotated[int | None, Meta(description="requests a minute; null: no limit")]
    timeframes: Annotated[
        list[str] | None, Meta(description="timeframes one may ask for; null: all")
    ]
    history_days: Annotated[int | None, Meta(description="days back from now; null: all")]
    hd: Annotated[str, Meta(description="how HD is shown: none, scaled, raw")]
    stream_symbols: Annotated[
        int | None, Meta(description="instruments one may stream; 0: none; null: no limit")
    ]
    machines: Annotated[int, Meta(description="machines that may be activated at once")]
    rows: Annotated[int, Meta(description="most rows of one answer")]


class MeRow(_Form):
    """One's own account."""

    id: Annotated[str, Meta(description="id of the user")]
    email: Email
    name: Annotated[str, Meta(description="what one is called")]
    role: Annotated[str, Meta(description="user, admin or superadmin")]
    tier: Tier
    rights: Annotated[RightsRow, Meta(description="what one may have")]
    csrf: Annotated[str, Meta(description="what every change shows in `X-CSRF-Token`")]


class KeyRow(_Form):
    """A key as its owner sees it."""

    id: KeyId
    name: Annotated[str, Meta(description="where it lives")]
    prefix: Annotated[str, Meta(description="its first characters")]
    last4: Annotated[str, Meta(description="its last four characters")]
    state: Annotated[str, Meta(description="active, expired or revoked")]
    tier: Annotated[str | None, Meta(description="a tier of its own; null: the user's")]
    created: Instant
    expires: Maybe
    revoked: Maybe
    used: Maybe


class NewKeyRow(KeyRow):
    """A key just made: the only time that it is told whole."""

    key: Annotated[str, Meta(description="the whole key; it is told this once")]


class MachineRow(_Form):
    """A machine that has a place."""

    id: Annotated[str, Meta(description="id of the machine's place")]
    machine: MachineName
    plugin_version: Plugin
    key_name: Annotated[str, Meta(description="name of the key that activated it")]
    activated: Instant
    heartbeat: Annotated[str, Meta(description="when it was heard of last, ISO, UTC with Z")]


class MachinesRow(Slots):
    """One's machines."""

    machines: Annotated[list[MachineRow], Meta(description="those that have a place")]


class Minute(_Form):
    """How much is left of the present minute."""

    limit: Annotated[int | None, Meta(description="requests a minute; null: no limit")]
    left: Annotated[int | None, Meta(description="how many are left; null: no limit, or unknown")]
    resets_s: Annotated[int | None, Meta(description="seconds until more are; null as `left`")]


class Counted(_Form):
    """What was counted."""

    requests: Annotated[int, Meta(description="requests answered, refusals too")]
    rows: Annotated[int, Meta(description="rows they were given")]
    limited: Annotated[int, Meta(description="of them answered 429")]
    refused: Annotated[int, Meta(description="of them answered another 4xx")]


class HourRow(Counted):
    """Usage of an hour."""

    hour: Annotated[str, Meta(description="its beginning, ISO, UTC with Z")]


class KeyUsageRow(Counted):
    """Usage of a key."""

    id: Annotated[str, Meta(description="id of the key; empty: the pages")]
    name: Annotated[str, Meta(description="its name; empty: the pages")]
    prefix: Annotated[str, Meta(description="its first characters; empty: the pages")]


class UsageRow(_Form):
    """One's usage."""

    minute: Annotated[Minute, Meta(description="the present minute, all keys together")]
    hours: Annotated[
        list[HourRow],
        Meta(description="the last 24 hours, oldest first; one without any is left out"),
    ]
    keys: Annotated[list[KeyUsageRow], Meta(description="by key, over the days asked for")]


class PlanRow(_Form):
    """A plan that is offered."""

    name: Annotated[str, Meta(description="its name")]
    tier: Tier
    text: Annotated[str, Meta(description="what it is")]
    rights: Annotated[RightsRow, Meta(description="what it comes with")]


class SubscriptionNow(_Form):
    """The present subscription."""

    plan: Annotated[str, Meta(description="name of its plan")]
    began: Instant
    ends: Maybe


class RequestRow(_Form):
    """A request for another plan."""

    id: Annotated[int, Meta(description="its number")]
    plan: Annotated[str, Meta(description="the plan that is wanted")]
    note: Annotated[str, Meta(description="the word that came with it")]
    state: Annotated[str, Meta(description="waiting, approved, declined or withdrawn")]
    asked: Instant
    decided: Maybe
    reason: Annotated[str | None, Meta(description="why it was decided so; null: not said")]


class SubscriptionRow(_Form):
    """Plan, plans and requests."""

    tier: Tier
    subscription: Annotated[SubscriptionNow | None, Meta(description="the present one; null: none")]
    plans: Annotated[list[PlanRow], Meta(description="plans that are offered, lowest tier first")]
    request: Annotated[RequestRow | None, Meta(description="the newest request; null: none")]


class TokenAnswer(_Form):
    """A token."""

    ok: Ok
    data: Annotated[TokenRow, Meta(description="the token")]
    meta: About


class ActivationAnswer(_Form):
    """A machine's token."""

    ok: Ok
    data: Annotated[ActivationRow, Meta(description="the token and the places")]
    meta: About


class AddressAnswer(_Form):
    """An account, by its address."""

    ok: Ok
    data: Annotated[AddressRow, Meta(description="the account")]
    meta: About


class SignedInAnswer(_Form):
    """A session."""

    ok: Ok
    data: Annotated[SignedInRow, Meta(description="who signed in")]
    meta: About


class DoneAnswer(_Form):
    """Done."""

    ok: Ok
    data: Annotated[NothingRow, Meta(description="an empty object")]
    meta: About


class MeAnswer(_Form):
    """One's own account."""

    ok: Ok
    data: Annotated[MeRow, Meta(description="the account")]
    meta: About


class KeysAnswer(_Form):
    """One's keys, newest first."""

    ok: Ok
    data: Annotated[list[KeyRow], Meta(description="the keys")]
    meta: About


class NewKeyAnswer(_Form):
    """A key just made."""

    ok: Ok
    data: Annotated[NewKeyRow, Meta(description="the key")]
    meta: About


class KeyAnswer(_Form):
    """One key."""

    ok: Ok
    data: Annotated[KeyRow, Meta(description="the key")]
    meta: About


class MachinesAnswer(_Form):
    """One's machines."""

    ok: Ok
    data: Annotated[MachinesRow, Meta(description="the machines")]
    meta: About


class UsageAnswer(_Form):
    """One's usage."""

    ok: Ok
    data: Annotated[UsageRow, Meta(description="the usage")]
    meta: About


class SubscriptionAnswer(_Form):
    """One's plan."""

    ok: Ok
    data: Annotated[SubscriptionRow, Meta(description="the plan")]
    meta: About


class RequestAnswer(_Form):
    """A request for another plan."""

    ok: Ok
    data: Annotated[RequestRow, Meta(description="the request")]
    meta: About


class PublicKey(_Form):
    """A key that tokens are verified with (RFC 7517)."""

    kty: Annotated[str, Meta(description="kind of key: RSA")]
    use: Annotated[str, Meta(description="sig: it verifies signatures")]
    alg: Annotated[str, Meta(description="algorithm: always RS256")]
    kid: Annotated[str, Meta(description="which key a token names in its head")]
    n: Annotated[str, Meta(description="modulus, base64url")]
    e: Annotated[str, Meta(description="exponent, base64url")]


class PublicKeys(_Form):
    """The keys that tokens are verified with, newest first."""

    keys: Annotated[list[PublicKey], Meta(description="the keys")]

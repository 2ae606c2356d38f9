"""What the routes of admins answer, as types published by OpenAPI. Times are ISO, UTC with Z."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from bursa.api.auth.shapes import Instant, Maybe
from bursa.api.shapes import About, Ok


class _Form(Struct, forbid_unknown_fields=True):
    """A row or an answer: no field beside those named."""


UserId = Annotated[str, Meta(description="id of the user")]
EmailText = Annotated[str, Meta(description="e-mail address")]
TierName = Annotated[str, Meta(description="name of the tier", max_length=64)]
Override = Annotated[
    dict[str, Any], Meta(description="fields of the tier that are others here; empty: none")
]


class RightsTold(_Form):
    """What a tier or somebody may have."""

    rate: Annotated[int | None, Meta(description="requests a minute; null: no limit")]
    timeframes: Annotated[list[str] | None, Meta(description="allowed timeframes; null: all")]
    history_days: Annotated[int | None, Meta(description="days back from now; null: all")]
    hd: Annotated[str, Meta(description="how HD is shown: none, scaled, raw")]
    stream_symbols: Annotated[
        int | None, Meta(description="instruments that may be streamed; null: no limit")
    ]
    machines: Annotated[int, Meta(description="machines activated at once")]
    rows: Annotated[int, Meta(description="most rows of one answer")]


class UserTold(_Form):
    """A user as admins see him."""

    id: UserId
    email: EmailText
    name: Annotated[str, Meta(description="what the person is called")]
    role: Annotated[str, Meta(description="user, admin or superadmin")]
    tier: TierName
    state: Annotated[str, Meta(description="unverified, active or disabled")]
    override: Override
    rights: Annotated[RightsTold, Meta(description="what he may have, all told")]
    created: Instant
    verified: Maybe
    seen: Annotated[str | None, Meta(description="last sign-in, ISO; null: never")]
    keys: Annotated[int, Meta(description="keys that are active")]
    machines: Annotated[int, Meta(description="machines that are active")]
    machines_allowed: Annotated[int, Meta(description="machines that may be")]
    requests: Annotated[int, Meta(description="requests of today, UTC")]
    limited: Annotated[int, Meta(description="of them answered 429")]


class RecordTold(_Form):
    """One record of the audit."""

    at: Instant
    actor: Annotated[str, Meta(description="id of who did it; `cli`, `job`; empty: nobody")]
    actor_name: Annotated[str, Meta(description="his address, where he is known")]
    actor_role: Annotated[str, Meta(description="his role then")]
    act: Annotated[str, Meta(description="what was done, e.g. user.tier")]
    target: Annotated[str, Meta(description="id or name of what it was done to")]
    target_name: Annotated[str, Meta(description="the target's address, where it is a user")]
    before: Annotated[Any, Meta(description="what was changed, as it was; null: nothing")]
    after: Annotated[Any, Meta(description="as it is since; null: nothing")]
    address: Annotated[str, Meta(description="address it came from; empty: the machine itself")]
    request_id: Annotated[str, Meta(description="id of the request; empty: there was none")]
    ok: Annotated[bool, Meta(description="false: it was refused, or failed")]


class UserWhole(UserTold):
    """A user, and what was done to his account lately."""

    recent: Annotated[list[RecordTold], Meta(description="newest first")]


class KeyTold(_Form):
    """A key as admins see it: never whole."""

    id: Annotated[str, Meta(description="id of the key")]
    user: UserId
    email: EmailText
    name: Annotated[str, Meta(description="where it lives")]
    prefix: Annotated[str, Meta(description="its first characters")]
    last4: Annotated[str, Meta(description="its last four characters")]
    state: Annotated[str, Meta(description="active, expired or revoked")]
    tier: Annotated[str | None, Meta(description="a tier of its own; null: the user's")]
    override: Override
    created: Instant
    expires: Maybe
    revoked: Maybe
    used: Maybe


class ReportTold(_Form):
    """What a plugin said."""

    at: Instant
    level: Annotated[str, Meta(description="how bad: debug, info, warning, error")]
    event: Annotated[str, Meta(description="what happened, a stable word")]
    message: Annotated[str, Meta(description="and in words")]


class MachineTold(_Form):
    """A machine."""

    id: Annotated[str, Meta(description="id of the machine's place")]
    user: UserId
    email: EmailText
    key: Annotated[str, Meta(description="id of the key that activated it")]
    machine: Annotated[str, Meta(description="what the machine calls itself")]
    plugin_version: Annotated[str, Meta(description="version of its plugin")]
    state: Annotated[str, Meta(description="active or released")]
    activated: Instant
    heartbeat: Annotated[str, Meta(description="when it was heard of last, ISO")]
    released: Maybe


class MachineWhole(MachineTold):
    """A machine and its newest reports."""

    reports: Annotated[list[ReportTold], Meta(description="newest first")]


class OverrideTold(_Form):
    """Rights of somebody's own, or of a key's."""

    id: Annotated[str, Meta(description="id of the user or the key")]
    user: UserId
    email: EmailText
    tier: Annotated[str | None, Meta(description="his tier; of a key its own, null: none")]
    override: Override


class SubscriptionTold(_Form):
    """A subscription."""

    id: Annotated[int, Meta(description="its number")]
    user: UserId
    email: EmailText
    plan: Annotated[str, Meta(description="name of the plan")]
    tier: TierName
    state: Annotated[str, Meta(description="active or ended")]
    began: Instant
    ends: Annotated[str | None, Meta(description="when it is to end, ISO; null: not")]
    closed: Annotated[str | None, Meta(description="when it ended, ISO; null: it has not")]


class RequestTold(_Form):
    """A request for a plan."""

    id: Annotated[int, Meta(description="its number")]
    user: UserId
    email: EmailText
    tier: Annotated[str, Meta(description="the user's tier now")]
    plan: Annotated[str, Meta(description="the plan that is wanted")]
    note: Annotated[str, Meta(description="the word that came with it")]
    state: Annotated[str, Meta(description="waiting, approved, declined or withdrawn")]
    asked: Instant
    decided: Maybe
    decided_by: Annotated[str | None, Meta(description="address of who decided; null: nobody")]
    reason: Annotated[str | None, Meta(description="why it was decided so; null: not said")]


class TierTold(RightsTold):
    """A row of the tier matrix."""

    name: TierName
    users: Annotated[int, Meta(description="people on it")]


class SettingTold(_Form):
    """A setting that is changed while it runs."""

    name: Annotated[str, Meta(description="its name")]
    value: Annotated[str, Meta(description="what holds")]
    default: Annotated[str, Meta(description="what holds where nobody changed it")]
    allowed: Annotated[list[str], Meta(description="what it may be")]
    meaning: Annotated[str, Meta(description="what it does")]


class GatesTold(_Form):
    """Gates of HD, and from when they hold."""

    effective: Annotated[str, Meta(description="first bar, by the venue's clock; `always`")]
    gate_open: Annotated[str, Meta(description="time of day from which bars count")]
    gate_close: Annotated[str, Meta(description="time from which their volume counts 0")]
    freeze: Annotated[str, Meta(description="time from which mapo and dmapo stand still")]
    holds: Annotated[str, Meta(description="over, now or later")]
    origin: Annotated[str, Meta(description="the venue's own, or when it was set")]


class GateChange(_Form):
    """One change of HD's gates, as it was ordered here."""

    at: Instant
    user: Annotated[str, Meta(description="who ordered it: id; `cli`")]
    user_name: Annotated[str, Meta(description="his address, where he is known")]
    before: Annotated[dict[str, Any], Meta(description="the gates as they were for that bar")]
    after: Annotated[dict[str, Any], Meta(description="the gates from it on")]
    reason: Annotated[str, Meta(description="why; empty: not said")]


class HdConfig(_Form):
    """HD's gates of one venue."""

    venue: Annotated[str, Meta(description="whose they are")]
    gates: Annotated[list[GatesTold], Meta(description="the schedule, oldest first")]
    history: Annotated[list[GateChange], Meta(description="changes ordered here, newest first")]


class LineTold(_Form):
    """What becomes of a line of a list."""

    line: Annotated[int, Meta(description="its number in the file, from 1")]
    what: Annotated[str, Meta(description="new, changed, same, unknown or refused")]
    name: Annotated[str, Meta(description="whom or what it is about")]
    why: Annotated[str, Meta(description="why it is refused, or what changes; empty: nothing")]


class ImportTold(_Form):
    """What became, or would become, of a list."""

    kind: Annotated[str, Meta(description="users or symbols")]
    dry_run: Annotated[bool, Meta(description="true: nothing was changed")]
    counts: Annotated[dict[str, int], Meta(description="how many lines are what")]
    lines: Annotated[
        list[LineTold], Meta(description="lines in order, but those that say nothing new")
    ]


# -- answers ---------------------------------------------------------------------------------------


class ListFacts(_Form):
    """What a list says about itself."""

    latency_us: Annotated[int, Meta(description="time to make the answer, microseconds")]
    next_page: Annotated[
        str | None, Meta(description="token for `page`; null: this is the last page")
    ]
    count: Annotated[int, Meta(description="rows that match in all; -1: not counted")]


class PeopleFacts(ListFacts):
    """What the list of people says about all of them."""

    tiers: Annotated[dict[str, int], Meta(description="people by tier")]
    states: Annotated[dict[str, int], Meta(description="people by state")]
    roles: Annotated[dict[str, int], Meta(description="people by role")]
    waiting: Annotated[int, Meta(description="requests for a plan that wait")]


AboutList = Annotated[ListFacts, Meta(description="what the list says about itself")]


class AdminUsersAnswer(_Form):
    """People, the newest first."""

    ok: Ok
    data: Annotated[list[UserTold], Meta(description="the rows")]
    meta: Annotated[PeopleFacts, Meta(description="what the list says about itself")]


class AdminKeysAnswer(_Form):
    """Keys, the newest first."""

    ok: Ok
    data: Annotated[list[KeyTold], Meta(description="the rows")]
    meta: AboutList


class AdminMachinesAnswer(_Form):
    """Machines, the one heard of last first."""

    ok: Ok
    data: Annotated[list[MachineTold], Meta(description="the rows")]
    meta: AboutList


class AdminOverridesAnswer(_Form):
    """Rights that are others than a tier's."""

    ok: Ok
    data: Annotated[list[OverrideTold], Meta(description="the rows")]
    meta: AboutList


class AdminSubscriptionsAnswer(_Form):
    """Subscriptions, the newest first."""

    ok: Ok
    data: Annotated[list[SubscriptionTold], Meta(description="the rows")]
    meta: AboutList


class AdminRequestsAnswer(_Form):
    """Requests for a plan."""

    ok: Ok
    data: Annotated[list[RequestTold], Meta(description="the rows")]
    meta: AboutList


class AdminTiersAnswer(_Form):
    """The tier matrix, the lowest tier first."""

    ok: Ok
    data: Annotated[list[TierTold], Meta(description="the rows")]
    meta: AboutList


class AdminSettingsAnswer(_Form):
    """Settings that are changed while it runs."""

    ok: Ok
    data: Annotated[list[SettingTold], Meta(description="the rows")]
    meta: AboutList


class AdminHdConfigsAnswer(_Form):
    """HD's gates of every venue that has some."""

    ok: Ok
    data: Annotated[list[HdConfig], Meta(description="the rows")]
    meta: AboutList


class AdminRecordsAnswer(_Form):
    """Records of the audit, the newest first."""

    ok: Ok
    data: Annotated[list[RecordTold], Meta(description="the rows")]
    meta: AboutList


class AdminUserAnswer(_Form):
    """One user."""

    ok: Ok
    data: Annotated[UserWhole, Meta(description="what was asked for")]
    meta: About


class AdminKeyAnswer(_Form):
    """One key."""

    ok: Ok
    data: Annotated[KeyTold, Meta(description="what was asked for")]
    meta: About


class AdminMachineAnswer(_Form):
    """One machine."""

    ok: Ok
    data: Annotated[MachineWhole, Meta(description="what was asked for")]
    meta: About


class AdminOverrideAnswer(_Form):
    """Rights of one's own."""

    ok: Ok
    data: Annotated[OverrideTold, Meta(description="what was asked for")]
    meta: About


class AdminRequestAnswer(_Form):
    """One request."""

    ok: Ok
    data: Annotated[RequestTold, Meta(description="what was asked for")]
    meta: About


class AdminSubscriptionAnswer(_Form):
    """One subscription."""

    ok: Ok
    data: Annotated[SubscriptionTold, Meta(description="what was asked for")]
    meta: About


class AdminTierAnswer(_Form):
    """One tier."""

    ok: Ok
    data: Annotated[TierTold, Meta(description="what was asked for")]
    meta: About


class AdminSettingAnswer(_Form):
    """One setting."""

    ok: Ok
    data: Annotated[SettingTold, Meta(description="what was asked for")]
    meta: About


class AdminHdConfigAnswer(_Form):
    """HD's gates of a venue."""

    ok: Ok
    data: Annotated[HdConfig, Meta(description="what was asked for")]
    meta: About


class AdminImportAnswer(_Form):
    """What became of a list."""

    ok: Ok
    data: Annotated[ImportTold, Meta(description="what was asked for")]
    meta: About

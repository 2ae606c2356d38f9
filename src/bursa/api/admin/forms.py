"""What the routes of admins take, as types: bodies that have no field but those named."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from bursa.accounts.who import ROLES, VIEWS
from bursa.api.auth.shapes import Email
from bursa.model.timeframe import TIMEFRAMES

REASON_MAX = 500

Reason = Annotated[str, Meta(description="why; kept in the audit", max_length=REASON_MAX)]
TierName = Annotated[str, Meta(description="name of the tier", max_length=64)]
# Texts of so many characters at most.
_Clock = Annotated[str, Meta(max_length=8)]
_Role = Annotated[str, Meta(max_length=20, extra_json_schema={"enum": list(ROLES)})]
_State = Annotated[str, Meta(max_length=20, extra_json_schema={"enum": ["active", "disabled"]})]
_View = Annotated[str, Meta(extra_json_schema={"enum": list(VIEWS)})]
_Frame = Annotated[str, Meta(extra_json_schema={"enum": list(TIMEFRAMES)})]
_Instant = Annotated[str, Meta(max_length=40, extra_json_schema={"format": "date-time"})]
_Name = Annotated[str, Meta(max_length=64)]
_Password = Annotated[str, Meta(max_length=256)]


class _Form(Struct, forbid_unknown_fields=True):
    """A body: no field beside those named."""


class RightsForm(_Form):
    """Fields of a tier; what is left out is as the tier has it, null is no limit."""

    rate: Annotated[int | None | UnsetType, Meta(description="requests a minute")] = UNSET
    timeframes: Annotated[
        list[_Frame] | None | UnsetType, Meta(description="timeframes one may ask for, null: all")
    ] = UNSET
    history_days: Annotated[int | None | UnsetType, Meta(description="days back from now")] = UNSET
    hd: Annotated[_View | UnsetType, Meta(description="how HD is shown")] = UNSET
    stream_symbols: Annotated[
        int | None | UnsetType, Meta(description="instruments that may be streamed; 0: none")
    ] = UNSET
    machines: Annotated[int | UnsetType, Meta(description="machines activated at once")] = UNSET
    rows: Annotated[int | UnsetType, Meta(description="most rows of one answer")] = UNSET

    def given(self) -> dict[str, Any]:
        """What was said."""
        every = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in every.items() if value is not UNSET}


class NewUserForm(_Form):
    """A user to make; without a password he sets one by a letter's link."""

    email: Email
    name: Annotated[str, Meta(description="what the person is called", max_length=100)] = ""
    role: Annotated[_Role, Meta(description="what he may do with others")] = "user"
    tier: TierName = "free"
    password: Annotated[_Password | None, Meta(description="10 to 256 characters")] = None


class UserForm(_Form):
    """What changes of a user; what is left out stays."""

    role: Annotated[_Role | UnsetType, Meta(description="what he may do with others")] = UNSET
    tier: Annotated[_Name | UnsetType, Meta(description="name of the tier")] = UNSET
    state: Annotated[_State | UnsetType, Meta(description="may he come in?")] = UNSET
    override: Annotated[
        RightsForm | UnsetType, Meta(description="his own rights, in place of those he had")
    ] = UNSET
    reason: Reason = ""


class OverrideForm(_Form):
    """Rights of a user's or a key's own, in place of those it had."""

    override: Annotated[RightsForm, Meta(description="fields that beat the tier")]
    tier: Annotated[_Name | None, Meta(description="a key's own tier; null: its user's")] = None
    reason: Reason = ""


class DecisionForm(_Form):
    """What becomes of a request."""

    decision: Annotated[str, Meta(description="approve or decline", pattern="^(approve|decline)$")]
    reason: Annotated[
        str,
        Meta(description="read by who asked; must be there to decline", max_length=REASON_MAX),
    ] = ""
    ends: Annotated[
        _Instant | None, Meta(description="when it is to end: ISO with an offset; null: not")
    ] = None


class TierForm(_Form):
    """What changes of a tier."""

    rights: Annotated[RightsForm, Meta(description="the fields that change")]
    reason: Reason = ""


class SettingForm(_Form):
    """A setting's value."""

    value: Annotated[
        str, Meta(description="one of those allowed, which its GET tells", max_length=64)
    ]
    reason: Reason = ""


class GatesForm(_Form):
    """HD's gates from a bar on that is yet to come; what is left out is as it is then."""

    effective: Annotated[
        str,
        Meta(
            description="opening of the first bar that goes by them: ISO with an offset",
            max_length=40,
            extra_json_schema={"format": "date-time"},
        ),
    ]
    gate_open: Annotated[
        _Clock | None, Meta(description="time of the venue's day from which bars count: 09:05")
    ] = None
    gate_close: Annotated[
        _Clock | None, Meta(description="time from which their volume counts 0")
    ] = None
    freeze: Annotated[
        _Clock | None, Meta(description="time from which mapo and dmapo stand still")
    ] = None
    reason: Reason = ""


class ImportForm(_Form):
    """A list to import: CSV, as text."""

    kind: Annotated[str, Meta(description="users or symbols", pattern="^(users|symbols)$")]
    text: Annotated[
        str,
        Meta(
            description="the list, with a header: email and perhaps name, tier, role; or ticker"
            " and name of instruments",
            max_length=4 << 20,
        ),
    ]
    venue: Annotated[
        str, Meta(description="whose symbols they are; the first venue by default", max_length=32)
    ] = ""
    dry_run: Annotated[bool, Meta(description="true: say what would be, change nothing")] = True
    reason: Reason = ""

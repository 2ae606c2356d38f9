"""What tables of settings are made of: their base, and how a value bears its meaning and limits.

A value bears its meaning in its annotation, so that file, `config show`, docs and refusals say the
same. Holds no setting (tree.py and sources.py do).
"""

from typing import Annotated, Any, Literal, get_args, get_origin

from msgspec import Meta, Struct

Port = Annotated[int, Meta(ge=0, le=65535)]
Endpoint = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.\-]+:[0-9]{1,5}$")]


class Table(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file; unknown keys are refused."""


def doc(text: str, **limits: Any) -> Any:
    """The annotation of a value: its meaning and its limits (of msgspec.Meta)."""
    return Meta(description=text, **limits)


def words(kind: Any) -> tuple[str, ...]:
    """The words a value may be, where it is one of a few."""
    inner = get_args(kind)[0] if get_args(kind) else kind
    return tuple(str(word) for word in get_args(inner)) if get_origin(inner) is Literal else ()


def meaning(kind: Any) -> str:
    """What a value means; "" where nothing is said."""
    notes = [n for n in getattr(kind, "__metadata__", ()) if isinstance(n, Meta) and n.description]
    return notes[-1].description or "" if notes else ""

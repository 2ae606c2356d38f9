"""Which door a path is behind: what is asked of whoever comes for it.

By the path alone, as the router reads it, and secure by default: what is not named here needs a
sign-in. Judges nobody (guard.py does).
"""

from enum import Enum

from bursa.api.errors import routed


class Door(Enum):
    """public   nothing is asked
    viewer   nothing; public venues only (viewer/door.py)
    stats    an admin, or somebody on this machine
    data     a token or a session
    udf      the same, or an API key; answers are UDF's
    plugin   a token made for a machine; the key itself lies in the body of an activation
    self     a session
    admin    a session of an admin
    page     a session, or a token; a browser without one is led to sign-in
    """

    # Members are one of a kind; the enum's own hash takes a call a lookup.
    __hash__ = object.__hash__

    PUBLIC = "public"
    VIEWER = "viewer"
    STATS = "stats"
    DATA = "data"
    UDF = "udf"
    PLUGIN = "plugin"
    SELF = "self"
    ADMIN = "admin"
    PAGE = "page"


# Whole paths, then first parts of paths; the longest that fits counts.
_WHOLE = {
    "/health": Door.PUBLIC,
    "/ready": Door.PUBLIC,
    "/.well-known/jwks.json": Door.PUBLIC,
    "/sign-in": Door.PUBLIC,
    "/sign-up": Door.PUBLIC,
    "/verify": Door.PUBLIC,
    "/forgot": Door.PUBLIC,
    "/reset": Door.PUBLIC,
    "/web/tape": Door.PUBLIC,
    "/healthz": Door.VIEWER,
    "/version": Door.VIEWER,
    "/ws": Door.VIEWER,
    "/stats": Door.STATS,
    "/schema": Door.DATA,
    "/asyncapi.json": Door.DATA,
    "/llms.txt": Door.DATA,
    "/udf": Door.UDF,
    # The key that it exchanges is in its body.
    "/v1/plugin/activate": Door.PUBLIC,
    "/portal": Door.SELF,
    "/admin": Door.ADMIN,
    "/ops": Door.ADMIN,
    "/metrics": Door.ADMIN,
}
_BELOW = (
    ("/v1/auth/", Door.PUBLIC),
    ("/v1/plugin/", Door.PLUGIN),
    ("/v1/", Door.DATA),
    ("/udf/", Door.UDF),
    ("/static/", Door.PUBLIC),
    ("/api/v1/", Door.VIEWER),
    ("/auth/", Door.PUBLIC),
    ("/schema/", Door.DATA),
    ("/portal/", Door.SELF),
    ("/admin/", Door.ADMIN),
    ("/ops/", Door.ADMIN),
)


def door_of(path: str) -> Door:
    """The door of a path, in any spelling that leads the router to it."""
    path = routed(path)
    found = _WHOLE.get(path)
    if found is not None:
        return found
    for start, door in _BELOW:
        if path.startswith(start):
            return door
    return Door.PAGE

"""Every knob: its default, unit, limits and meaning. One frozen tree, read once at the start.

Strength: flags beat `BURSA_*` environment variables beat the TOML file beat the defaults. The name
of a variable is the dotted path in capitals: `http.port` is `BURSA_HTTP_PORT`. Only cli.py, app.py,
sources.py, up.py and the verbs read these modules; parts receive the few values they use.
"""

from bursa.config.load import PASSWORD, file_of, load, superadmin_password
from bursa.config.tell import MASK, Setting, leaves, rows, settings, variable
from bursa.config.tree import Config, Loaded

__all__ = [
    "MASK",
    "PASSWORD",
    "Config",
    "Loaded",
    "Setting",
    "file_of",
    "leaves",
    "load",
    "rows",
    "settings",
    "superadmin_password",
    "variable",
]

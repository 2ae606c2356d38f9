"""Which table a venue's messages are read by: one that bursa ships, by its name, or a TOML file.

The form of such a file is wire/idx/layout_table.py's. Reads files; knows no message.
"""

from pathlib import Path

from bursa.model.errors import Refuse
from bursa.wire.idx import layout_table
from bursa.wire.idx.layout import IDX1, Layout

FOLDER = Path(layout_table.__file__).parent / "layouts"
_SUFFIX = ".toml"


def names() -> list[str]:
    """The layouts that can be asked for by name; the first is the default."""
    return [IDX1.name, *sorted(path.stem for path in FOLDER.glob(f"*{_SUFFIX}"))]


def load(name: str) -> Layout:
    """The layout of a name or of a path, which ends in .toml. Raises Refuse `bad_layout`, naming
    file and key, where there is none or it contradicts itself."""
    if name == IDX1.name:
        return IDX1
    path = Path(name)
    if path.suffix != _SUFFIX:
        path = FOLDER / f"{name}{_SUFFIX}"
        if name not in names():
            allowed = f"{', '.join(names())} or a path that ends in {_SUFFIX}"
            raise Refuse(f"layout {name!r}: allowed: {allowed}", "bad_layout", parameter=name)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Refuse(f"{path}: no UTF-8", "bad_layout", parameter=name) from None
    except OSError as error:
        raise Refuse(f"{path}: {error.strerror}", "bad_layout", parameter=name) from None
    return layout_table.parse(text, str(path))

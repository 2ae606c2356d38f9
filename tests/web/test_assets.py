"""The page's files: one hash for all, compressed where it helps, vendored ones unmodified."""

import gzip
import hashlib
import re
from pathlib import Path

import bursa.web
from bursa.web.assets import load

STATIC = Path(bursa.web.__file__).parent / "static"


def test_any_change_of_any_file_changes_every_address(tmp_path: Path) -> None:
    (tmp_path / "js").mkdir()
    (tmp_path / "js/a.js").write_text("export const a = 1;")
    (tmp_path / "b.css").write_text("b {}" * 100)
    one = load(tmp_path)
    assert load(tmp_path) == one
    assert one.url("js/a.js") == f"/static/{one.version}/js/a.js"
    (tmp_path / "js/a.js").write_text("export const a = 2;")
    assert load(tmp_path).version != one.version


def test_files_are_compressed_where_that_saves_bytes(tmp_path: Path) -> None:
    (tmp_path / "long.css").write_text("b {}" * 100)
    (tmp_path / "tiny.css").write_text("b")
    files = load(tmp_path).files
    packed = files["long.css"].packed
    assert packed is not None
    assert gzip.decompress(packed) == files["long.css"].body
    assert files["tiny.css"].packed is None


def test_vendored_files_are_those_the_note_names() -> None:
    note = (STATIC / "vendor/VENDORED.txt").read_text()
    named = re.findall(r"^(\S+/\S+)\n(?:  .*\n)*?  sha256 ([0-9a-f]{64})$", note, re.M)
    assert len(named) == 2
    for name, digest in named:
        path = STATIC / "vendor" / name
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest, name
        assert (path.parent / "LICENSE").read_text()
    beside = {p.name for p in STATIC.glob("vendor/*/*")}
    assert beside == {Path(name).name for name, _ in named} | {"LICENSE"}


def test_scripts_are_small_and_each_says_what_it_is() -> None:
    for path in STATIC.glob("js/*.js"):
        text = path.read_text()
        assert text.startswith("/* "), path.name
        assert text.count("\n") <= 500, path.name
        assert "innerHTML" not in text, path.name

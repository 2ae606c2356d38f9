"""A backup's folder: whole or as it was, only what changed is copied, and rot is found."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bursa.model.errors import Refuse
from bursa.store import mirror
from bursa.store.mirror import Mirror

FACTS = {"program": "1"}


def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "cold").mkdir(parents=True)
    (folder / "cold" / "a.parquet").write_bytes(b"a" * 3_000_000)
    (folder / "cold" / "b.parquet").write_bytes(b"b" * 10)
    (folder / "hot").write_bytes(b"hot 1")
    return folder


def _state(to: Path) -> None:
    to.write_bytes(b"state")


def back_up(folder: Path, target: Path, *, commit: bool = True) -> Mirror:
    with Mirror(target) as copies:
        for path in sorted((folder / "cold").iterdir()):
            name = f"cold/{path.name}"
            if copies.lacks(name, path):
                copies.copy(name, path)
        copies.copy("hot", folder / "hot", changes=True)
        copies.make("state", _state)
        if commit:
            copies.commit("2025-11-20T10:00:00+00:00", FACTS)
    return copies


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def brought_back(target: Path, to: Path) -> dict[str, bytes]:
    mirror.restore(target, mirror.verify(target), to)
    return content(to)


def test_what_went_in_comes_back(tmp_path: Path) -> None:
    folder, target = source(tmp_path), tmp_path / "backup"
    copies = back_up(folder, target)
    assert copies.copied == 3_000_010 + 5 + 5
    assert brought_back(target, tmp_path / "new") == content(folder) | {"state": b"state"}
    manifest = mirror.load(target)
    assert manifest is not None
    assert (manifest.number, manifest.facts, manifest.bytes) == (1, FACTS, copies.copied)
    assert (target.stat().st_mode & 0o777, (tmp_path / "new" / "hot").stat().st_mode & 0o777) == (
        0o700,
        0o600,
    )


def test_only_what_changed_is_copied_again_and_what_went_goes(tmp_path: Path) -> None:
    folder, target = source(tmp_path), tmp_path / "backup"
    back_up(folder, target)
    (folder / "cold" / "b.parquet").unlink()
    (folder / "cold" / "c.parquet").write_bytes(b"c" * 20)
    (folder / "hot").write_bytes(b"hot 2")
    copies = back_up(folder, target)
    assert copies.copied == 20 + 5 + 5
    assert brought_back(target, tmp_path / "new") == content(folder) | {"state": b"state"}
    assert set(content(target / "files")) == {
        "cold/a.parquet",
        "cold/c.parquet",
        "hot~2",
        "state~2",
    }


def test_a_file_of_another_size_or_time_is_copied_again(tmp_path: Path) -> None:
    folder, target = source(tmp_path), tmp_path / "backup"
    back_up(folder, target)
    path = folder / "cold" / "b.parquet"
    path.write_bytes(b"x" * 10)
    os.utime(path, ns=(1, 1))
    assert back_up(folder, target).copied == 10 + 5 + 5
    assert brought_back(target, tmp_path / "new")["cold/b.parquet"] == b"x" * 10


@pytest.mark.parametrize("at", ["copy", "make", "commit"])
def test_a_backup_that_breaks_off_leaves_the_one_before(tmp_path: Path, at: str) -> None:
    folder, target = source(tmp_path), tmp_path / "backup"
    back_up(folder, target)
    before = content(folder)
    (folder / "hot").write_bytes(b"hot 2")
    (folder / "cold" / "c.parquet").write_bytes(b"c")
    if at == "commit":
        back_up(folder, target, commit=False)
    else:

        def fail(self: Mirror, *given: object, **named: object) -> None:
            raise OSError(28, "No space left on device")

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Mirror, at, fail)
            with pytest.raises(OSError, match="No space"):
                back_up(folder, target)
    assert brought_back(target, tmp_path / "new") == before | {"state": b"state"}
    back_up(folder, target)
    assert brought_back(target, tmp_path / "newer") == content(folder) | {"state": b"state"}
    stored = {one.stored for one in mirror.verify(target).files}
    assert set(content(target / "files")) == stored


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (_cut, "has 2,999,999 bytes, not"),
        (_flip, "has another SHA-256"),
        (Path.unlink, "is missing"),
    ],
)
def test_rot_is_found(tmp_path: Path, spoil: Callable[[Path], None], what: str) -> None:
    target = tmp_path / "backup"
    back_up(source(tmp_path), target)
    spoil(target / "files" / "cold" / "a.parquet")
    with pytest.raises(Refuse, match=f"1 of 4 files.*a.parquet {what}") as refused:
        mirror.verify(target)
    assert refused.value.code == "backup_damaged"


def test_a_lost_copy_is_made_again(tmp_path: Path) -> None:
    folder, target = source(tmp_path), tmp_path / "backup"
    back_up(folder, target)
    (target / "files" / "cold" / "a.parquet").unlink()
    assert back_up(folder, target).copied > 3_000_000
    mirror.verify(target)


def test_another_file_of_the_same_name_leaves_the_one_before_whole(tmp_path: Path) -> None:
    folder, target = source(tmp_path), tmp_path / "backup"
    back_up(folder, target)
    before = brought_back(target, tmp_path / "before")
    path = folder / "cold" / "b.parquet"
    path.write_bytes(b"other")
    back_up(folder, target, commit=False)
    assert brought_back(target, tmp_path / "still") == before
    with Mirror(target) as copies:
        copies.copy("cold/b.parquet", path)
        assert not copies.lacks("cold/b.parquet", path)
        copies.commit("2025-11-21T10:00:00+00:00", FACTS)
    assert brought_back(target, tmp_path / "new") == {"cold/b.parquet": b"other"}


def test_a_copy_that_was_cut_off_is_made_again(tmp_path: Path) -> None:
    folder, target = source(tmp_path), tmp_path / "backup"
    back_up(folder, target)
    (target / mirror.FILES / "cold" / "b.parquet").write_bytes(b"b")
    back_up(folder, target)
    assert brought_back(target, tmp_path / "new") == content(folder) | {"state": b"state"}


def test_rot_behind_the_check_is_found_as_it_is_copied(tmp_path: Path) -> None:
    folder, target = source(tmp_path), tmp_path / "backup"
    back_up(folder, target)
    manifest = mirror.verify(target)
    (target / mirror.FILES / "cold" / "b.parquet").write_bytes(b"B" * 10)
    with pytest.raises(Refuse, match=r"cold/b.parquet is not what was copied") as refused:
        mirror.restore(target, manifest, tmp_path / "new")
    assert refused.value.code == "backup_damaged"


def test_one_backup_at_a_time(tmp_path: Path) -> None:
    with Mirror(tmp_path / "backup"):
        with pytest.raises(Refuse) as refused:
            Mirror(tmp_path / "backup").__enter__()
    assert refused.value.code == "backup_runs"


def test_no_backup_a_newer_one_and_a_bad_one(tmp_path: Path) -> None:
    assert mirror.load(tmp_path) is None
    with pytest.raises(Refuse) as refused:
        mirror.verify(tmp_path)
    assert refused.value.code == "no_backup"
    for text, what in (
        (json.dumps({"version": mirror.VERSION + 1}), "use the newer bursa"),
        ("{", "cannot be read"),
        ("{}", "cannot be read"),
        (json.dumps({"version": 1, "number": 1, "made": "", "facts": {}, "files": [{}]}), "read"),
    ):
        (tmp_path / mirror.MANIFEST).write_text(text)
        with pytest.raises(Refuse, match=what) as refused:
            mirror.load(tmp_path)
        assert refused.value.code == "bad_backup"


def test_a_manifest_names_no_file_elsewhere(tmp_path: Path) -> None:
    target = tmp_path / "backup"
    back_up(source(tmp_path), target)
    path = target / mirror.MANIFEST
    path.write_text(path.read_text().replace('"path": "hot"', '"path": "../../evil"'))
    manifest = mirror.load(target)
    assert manifest is not None
    with pytest.raises(Refuse, match="no file of a data folder"):
        mirror.restore(target, manifest, tmp_path / "new" / "deep")
    assert not (tmp_path / "evil").exists()

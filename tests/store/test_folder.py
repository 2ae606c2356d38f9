"""One process holds a data folder, and answers for it."""

import errno
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bursa.model.errors import Refuse, Retry
from bursa.store.folder import DataFolder, ask, holder

ROOT = Path(__file__).parents[2]
HOLD = """
import sys, time
from pathlib import Path
from bursa.store.folder import DataFolder
folder = DataFolder(Path(sys.argv[1])).__enter__()
folder.announce("http://127.0.0.1:1")
folder.serve({"echo": lambda payload: payload})
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def held_by_other(tmp_path: Path) -> Iterator[Callable[[Path], "subprocess.Popen[str]"]]:
    children: list[subprocess.Popen[str]] = []

    def start(path: Path) -> "subprocess.Popen[str]":
        child = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        return child

    yield start
    for child in children:
        child.kill()
        child.communicate()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_folder_is_made_private(tmp_path: Path) -> None:
    wide = tmp_path / "wide"
    wide.mkdir(mode=0o755)
    for path in (tmp_path / "a" / "b", wide):
        with DataFolder(path) as folder:
            folder.serve({})
            assert mode(path) == 0o700
            assert mode(path / "control.sock") == 0o600


def test_a_second_is_told_who_holds(
    tmp_path: Path, held_by_other: Callable[[Path], "subprocess.Popen[str]"]
) -> None:
    child = held_by_other(tmp_path)
    with pytest.raises(Refuse, match=f"held by process {child.pid} since 20.*127.0.0.1:1") as no:
        DataFolder(tmp_path).__enter__()
    assert no.value.code == "folder_held"
    by = holder(tmp_path)
    assert by is not None and by.pid == child.pid and by.url == "http://127.0.0.1:1"


def test_the_same_process_holds_it_once(tmp_path: Path) -> None:
    with DataFolder(tmp_path), pytest.raises(Refuse, match=f"process {os.getpid()}"):
        DataFolder(tmp_path).__enter__()


def test_after_kill_9_the_folder_is_free(
    tmp_path: Path, held_by_other: Callable[[Path], "subprocess.Popen[str]"]
) -> None:
    data = tmp_path / ("long" * 30)
    child = held_by_other(data)
    by = holder(data)
    assert by is not None and len(by.socket) < 108
    assert ask(data, "echo", {"x": 2**60}, 60.0) == {"x": 2**60}
    child.send_signal(signal.SIGKILL)
    child.wait(60)
    assert Path(by.socket).exists()
    assert holder(data) is None
    with pytest.raises(Refuse) as refused:
        ask(data, "echo", {}, 60.0)
    assert refused.value.code == "not_held"
    with DataFolder(data) as folder:
        assert not Path(by.socket).parent.exists()  # what the killed one left behind
        folder.serve({"who": lambda payload: {"pid": os.getpid()}})
        assert ask(data, "who", {}, 60.0) == {"pid": os.getpid()}
        mine = holder(data)
        assert mine is not None and mode(Path(mine.socket).parent) == 0o700
    assert not Path(mine.socket).parent.exists()
    assert holder(data) is None


def test_nobody_holds_what_is_not_there(tmp_path: Path) -> None:
    assert holder(tmp_path / "none") is None
    assert not (tmp_path / "none").exists()


def test_what_a_handler_raises_reaches_the_asker(tmp_path: Path) -> None:
    def refuse(payload: dict[str, Any]) -> dict[str, Any]:
        raise Refuse("no such ticker", "unknown_ticker", 404)

    def retry(payload: dict[str, Any]) -> dict[str, Any]:
        raise Retry("store is away")

    def bug(payload: dict[str, Any]) -> dict[str, Any]:
        raise KeyError("oops")

    with DataFolder(tmp_path) as folder:
        folder.serve({"refuse": refuse, "retry": retry, "bug": bug})
        with pytest.raises(Refuse, match="no such ticker") as refused:
            ask(tmp_path, "refuse", {}, 60.0)
        assert (refused.value.code, refused.value.status) == ("unknown_ticker", 404)
        with pytest.raises(Retry, match="store is away"):
            ask(tmp_path, "retry", {}, 60.0)
        with pytest.raises(Refuse, match="oops") as refused:
            ask(tmp_path, "bug", {}, 60.0)
        assert refused.value.status == 500
        with pytest.raises(Refuse, match="unknown verb"):
            ask(tmp_path, "none", {}, 60.0)


def test_a_slow_answer_is_given_up(tmp_path: Path) -> None:
    go = threading.Event()

    def slow(payload: dict[str, Any]) -> dict[str, Any]:
        go.wait(60)
        return {}

    with DataFolder(tmp_path) as folder:
        folder.serve({"slow": slow, "quick": lambda payload: {"n": 1}})
        with pytest.raises(Retry, match="did not answer within"):
            ask(tmp_path, "slow", {}, 0.2)
        assert ask(tmp_path, "quick", {}, 60.0) == {"n": 1}
        go.set()


def test_many_ask_at_once(tmp_path: Path) -> None:
    found: list[int] = []
    with DataFolder(tmp_path) as folder:
        folder.serve({"echo": lambda payload: payload})

        def one(n: int) -> None:
            found.append(ask(tmp_path, "echo", {"n": n, "bulk": "x" * 300_000}, 60.0)["n"])

        threads = [threading.Thread(target=one, args=(n,)) for n in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found) == list(range(30))


@pytest.mark.parametrize(
    "said",
    [b"", b"\0", b"\0\0\0\0\0\0\0\5nojso", b"\xff" * 8, b"\0\0\0\0\0\0\0\2[]", b"\0" * 8],
)
def test_nonsense_on_the_socket_is_hung_up_on(tmp_path: Path, said: bytes) -> None:
    with DataFolder(tmp_path) as folder:
        folder.serve({"echo": lambda payload: payload})
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(60.0)
            line.connect(str(tmp_path / "control.sock"))
            line.sendall(said)
            line.shutdown(socket.SHUT_WR)
            assert line.recv(10) == b""
        assert ask(tmp_path, "echo", {"a": [1.5, None]}, 60.0) == {"a": [1.5, None]}


INTRUDE = """
import os, socket, sys
os.setgroups([]), os.setgid(65534), os.setuid(65534)
with socket.socket(socket.AF_UNIX) as line:
    line.settimeout(60)
    line.connect(sys.argv[1])
    try:
        line.sendall(b"\\0" * 7 + b"\\x1e" + b'{"verb":"echo","payload":{"a":1}}'[:30])
        print("answered" if line.recv(10) else "hung up")
    except ConnectionError:
        print("hung up")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_hung_up_on() -> None:
    """Even where the folder's and the socket's modes were opened by mistake."""
    with tempfile.TemporaryDirectory() as name, DataFolder(Path(name)) as folder:
        folder.serve({"echo": lambda payload: payload})
        folder.path.chmod(0o777)
        (folder.path / "control.sock").chmod(0o666)
        done = subprocess.run(
            [sys.executable, "-c", INTRUDE, str(folder.path / "control.sock")],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout == "hung up\n"
        assert ask(folder.path, "echo", {"a": 1}, 60.0) == {"a": 1}


def test_a_holder_that_serves_nothing_is_not_asked(tmp_path: Path) -> None:
    with DataFolder(tmp_path), pytest.raises(Refuse) as refused:
        ask(tmp_path, "echo", {}, 60.0)
    assert refused.value.code == "not_held"


def test_a_half_written_lock_still_holds(tmp_path: Path) -> None:
    with DataFolder(tmp_path):
        (tmp_path / "lock").write_text('{"pid": 12')
        by = holder(tmp_path)
        assert by is not None and by.pid == 0
        with pytest.raises(Refuse, match="held by another process"):
            DataFolder(tmp_path).__enter__()


def test_a_full_disk_does_not_keep_anybody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock's file keeps its room; one that is made where there is none tells nobody."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    lock = tmp_path / "lock"
    with DataFolder(tmp_path) as folder:
        size = lock.stat().st_size
        folder.announce("http://127.0.0.1:1")
        by = holder(tmp_path)
        assert by is not None and by.url == "http://127.0.0.1:1"
        assert lock.stat().st_size == size > len(by.url)
    assert lock.stat().st_size == size and holder(tmp_path) is None
    lock.unlink()
    monkeypatch.setattr(os, "pwrite", full)
    with DataFolder(tmp_path):
        by = holder(tmp_path)
        assert by is not None and by.pid == 0
    assert holder(tmp_path) is None

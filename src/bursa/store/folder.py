"""The data folder: who holds it, and how others ask the holder.

One process holds a folder, by a lock that the kernel drops with the process, however it ends; the
file DATA/lock says who. The holder may serve a control socket: one request, one answer, both JSON
with a length before them, only for the folder's own user. Knows no verb (app.py gives handlers).
"""

import contextlib
import fcntl
import json
import os
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from bursa.model.errors import BursaError, Refuse, Retry
from bursa.ops.logs import logger

LOCK = "lock"
# Below it lies what a backup brings back, until all of it is there.
UNFINISHED = "restoring"
# What the store keeps in it.
STORE_FILE = "hot.duckdb"
COLD_FOLDER = "cold"
BULK_FOLDER = "bulk"
SOCKET = "control.sock"
# AF_UNIX allows 108 bytes with the final zero.
SOCKET_PATH_BYTES_MAX = 100
TEMPORARY = "bursa-control-"
REQUEST_BYTES_MAX = 1 << 20
ANSWER_BYTES_MAX = 1 << 30
REQUEST_WAIT_S = 5.0
CALLS_MAX = 8
# Somebody may look at the lock for a moment (`holder`): only a longer hold is one.
GLANCE_S = 0.5
# What the lock file takes, whatever it says: it need never grow.
LOCK_BYTES = 4096

Handler = Callable[[dict[str, Any]], dict[str, Any]]
_LENGTH = struct.Struct(">Q")
_PEER = struct.Struct("3i")  # pid, uid, gid of SO_PEERCRED


@dataclass(frozen=True)
class Holder:
    """Who holds a folder. since: ISO time, our clock; url: where it answers, "" if nowhere;
    socket: path of its control socket, "" if it has none."""

    pid: int
    since: str
    url: str = ""
    socket: str = ""


class DataFolder:
    """A folder that this process holds while the context lasts. Made where it is absent; open to
    its user only. Entering raises Refuse `folder_held` where another process holds it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: BinaryIO | None = None
        self._holder = Holder(os.getpid(), "")
        self._control: _Control | None = None

    def __enter__(self) -> "DataFolder":
        self._own()
        if (self.path / UNFINISHED).exists():
            what = f"{self.path} holds a backup that was not brought back to its end: empty it and"
            raise Refuse(f"{what} run bursa restore-backup again", "restore_unfinished", 503)
        try:
            made = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unusable(error) from error
        lock = os.fdopen(made, "r+b", buffering=0)  # open as long as the folder is held
        try:
            self._seize(lock)
        except BaseException:
            lock.close()
            raise
        left_behind = _read(lock)
        if left_behind is not None:
            _remove_socket(left_behind.socket)
        self._lock = lock
        self._tell(Holder(os.getpid(), datetime.now(UTC).isoformat(timespec="seconds")))  # noqa: TID251 -- told to people, nothing is derived from it
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving and let go. May be called again."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._lock is not None:
            _remove_socket(self._holder.socket)
            self._write(b"")
            self._lock.close()
            self._lock = None

    def announce(self, url: str) -> None:
        """Say where the holder answers; shown to those who are refused."""
        self._tell(Holder(self._holder.pid, self._holder.since, url, self._holder.socket))

    def serve(self, handlers: Mapping[str, Handler]) -> None:
        """Answer `ask` from now on: verb -> handler(payload) -> answer, called on threads of its
        own, at most CALLS_MAX at once. Refuse and Retry of a handler are raised at the asker's."""
        assert self._control is None, "served already"
        path = self.path / SOCKET
        if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
            path = Path(tempfile.mkdtemp(prefix=TEMPORARY)) / SOCKET
        _remove_socket(str(path), folder=False)
        self._control = _Control(path, handlers)
        self._tell(Holder(self._holder.pid, self._holder.since, self._holder.url, str(path)))

    def _own(self) -> None:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.path.stat().st_mode & 0o077:
                self.path.chmod(0o700)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> Refuse:
        what = f"data folder {self.path} cannot be used: {error.strerror}"
        return Refuse(what, "data_folder", 503)

    def _seize(self, lock: BinaryIO) -> None:
        until = time.monotonic() + GLANCE_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > until:
                    raise self._held(_read(lock)) from None
                time.sleep(0.02)

    def _held(self, by: Holder | None) -> Refuse:
        who = "another process"
        if by is not None:
            who = f"process {by.pid} since {by.since}" + (f", {by.url}" if by.url else "")
        return Refuse(f"data folder {self.path} is held by {who}", "folder_held", 503)

    def _tell(self, holder: Holder) -> None:
        assert self._lock is not None, "only the holder says who holds"
        self._holder = holder
        self._write(json.dumps(asdict(holder)).encode())

    def _write(self, told: bytes) -> None:
        """Over what is there, in the room that the file has: on a full disk too. Where it has none
        yet nobody is told who holds; it is held all the same, and can be looked into."""
        assert self._lock is not None, "only the holder says who holds"
        with contextlib.suppress(OSError):
            os.pwrite(self._lock.fileno(), told.ljust(LOCK_BYTES), 0)


def holder(data: Path) -> Holder | None:
    """Who holds a folder now; None if nobody does. A dead process holds nothing."""
    try:
        lock = open(data / LOCK, "rb")
    except FileNotFoundError:
        return None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read(lock) or Holder(0, "")
    return None


def ask(data: Path, verb: str, payload: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """Ask the process that holds a folder. Raises what its handler raised (Refuse, Retry); Refuse
    `not_held` where nobody holds the folder or does not answer questions, Retry past the time."""
    by = holder(data)
    if by is None or not by.socket:
        raise Refuse(f"no running bursa answers for {data}", "not_held", 503)
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(timeout_s)
            _connect(line, by.socket, time.monotonic() + timeout_s)
            _check_peer(line)
            _send(line, {"verb": verb, "payload": payload})
            answer = _receive(line, ANSWER_BYTES_MAX)
    except TimeoutError as error:
        raise Retry(f"process {by.pid} did not answer within {timeout_s:g} s") from error
    except OSError as error:
        raise Retry(f"process {by.pid} does not answer: {error}") from error
    if answer["ok"]:
        result: dict[str, Any] = answer["result"]
        return result
    if answer["kind"] == "retry":
        raise Retry(answer["error"])
    raise Refuse(answer["error"], answer["code"], answer["status"])


class _Control:
    """The socket's thread, and one more for each call."""

    def __init__(self, path: Path, handlers: Mapping[str, Handler]) -> None:
        self._handlers = dict(handlers)
        self._log = logger("control")
        self._calls = threading.BoundedSemaphore(CALLS_MAX)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        path.chmod(0o600)
        self._socket.listen(CALLS_MAX)
        self._closing = False
        self._thread = threading.Thread(target=self._accept, name="control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._thread.join(REQUEST_WAIT_S)
        self._socket.close()

    def _accept(self) -> None:
        while not self._closing:
            if not self._calls.acquire(timeout=0.2):
                continue
            try:
                line, _ = self._socket.accept()
            except OSError:
                self._calls.release()
                if self._closing:
                    return
                time.sleep(0.1)  # out of descriptors: others must end first
                continue
            threading.Thread(target=self._call, args=(line,), name="control", daemon=True).start()

    def _call(self, line: socket.socket) -> None:
        try:
            with line:
                line.settimeout(REQUEST_WAIT_S)
                _check_peer(line)
                request = _receive(line, REQUEST_BYTES_MAX)
                answer = self._answer(request["verb"], request["payload"])
                line.settimeout(None)
                _send(line, answer)
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            self._log.warning("control: bad or broken call", why=repr(error))
        finally:
            self._calls.release()

    def _answer(self, verb: str, payload: dict[str, Any]) -> dict[str, Any]:
        handler = self._handlers.get(verb)
        if handler is None:
            return _failure("refuse", f"unknown verb {verb!r}", "unknown_verb", 404)
        try:
            return {"ok": True, "result": handler(payload)}
        except Refuse as error:
            return _failure("refuse", str(error), error.code, error.status)
        except BursaError as error:
            return _failure("retry", str(error), "away", 503)
        except Exception as error:  # noqa: BLE001 -- a bug: told loudly, and the asker is not left waiting
            self._log.error("control: handler failed", verb=verb, exc_info=error)
            return _failure("refuse", f"{verb} failed: {error!r}", "internal", 500)


def _connect(line: socket.socket, path: str, until: float) -> None:
    while True:
        try:
            line.connect(path)
            return
        except BlockingIOError:  # its queue is full
            if time.monotonic() > until:
                raise TimeoutError from None
            time.sleep(0.01)


def _failure(kind: str, error: str, code: str, status: int) -> dict[str, Any]:
    return {"ok": False, "kind": kind, "error": error, "code": code, "status": status}


def _check_peer(line: socket.socket) -> None:
    """Only this user (or root) is on the other side."""
    uid = _PEER.unpack(line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))[1]
    if uid not in (0, os.geteuid()):
        raise PermissionError(f"user {uid} is not ours")


def _send(line: socket.socket, message: dict[str, Any]) -> None:
    body = json.dumps(message).encode()
    line.sendall(_LENGTH.pack(len(body)) + body)


def _receive(line: socket.socket, bytes_max: int) -> dict[str, Any]:
    (size,) = _LENGTH.unpack(b"".join(_exactly(line, _LENGTH.size)))
    if size > bytes_max:
        raise ValueError(f"a message of {size} bytes, at most {bytes_max} are taken")
    message: dict[str, Any] = json.loads(b"".join(_exactly(line, size)))
    return message


def _exactly(line: socket.socket, size: int) -> Iterator[bytes]:
    while size:
        part = line.recv(min(size, 1 << 20))
        if not part:
            raise ConnectionError("the other side hung up")
        size -= len(part)
        yield part


def _read(lock: BinaryIO) -> Holder | None:
    """What the lock file says; None where it is empty or half written."""
    lock.seek(0)
    try:
        return Holder(**json.loads(lock.read()))
    except (ValueError, TypeError):
        return None


def _remove_socket(path: str, folder: bool = True) -> None:
    """Remove a control socket, and its folder where that was made for it alone."""
    if not path:
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    above = Path(path).parent
    if folder and above.name.startswith(TEMPORARY):
        with contextlib.suppress(OSError):  # not empty: then it is not ours alone
            above.rmdir()

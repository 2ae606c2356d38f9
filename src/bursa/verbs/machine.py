"""What `bursa doctor` looks at of the machine: Python, processors, memory, clocks, ports, kernels.

Asks the kernel and its files, never the network. The data folder and the settings are doctor.py's.
"""

import contextlib
import ctypes
import errno
import os
import platform
import re
import socket
import sys
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from numba.core import config as compiler

import bursa
from bursa.model.venue import VENUES
from bursa.verbs.finding import Finding, bad, ok, warn

PYTHON_MIN = (3, 11)
PROCESSORS_ENOUGH = 2
MEMORY_MIN = 1 << 30
# What the program itself takes, beside what its settings allow.
MEMORY_OWN = 400 << 20
STEP_BORNE_S = 2.0
DAY_S = 86_400.0
# Rooms whose kernels a start needs; these only a recording, some kinds of source or a repair do.
KERNEL_ROOMS = (
    *("journal", "wire", "wire/transport", "wire/idx", "wire/itch50"),
    *("bars", "metrics", "store", "pipeline"),
)
KERNELS_ASIDE = frozenset({"route", "bodies", "moldudp64", "again"})
# Kernels of one venue's codec: its start needs them.
KERNELS_OF = {"itch50": "xnas"}

_LISTENING = "0A"
# adjtimex(2): the field `status` of struct timex where long has 8 bytes, and its bit for a clock
# that nothing synchronises.
_TIMEX_BYTES, _STATUS_AT, _MAXERROR_AT, _UNSYNCHRONISED = 512, 40, 24, 0x40


def python() -> Finding:
    """The interpreter."""
    fact = f"{platform.python_version()} ({platform.machine()}), {sys.executable}"
    if sys.version_info < PYTHON_MIN or sys.maxsize < 2**32:
        return bad("python", fact, "bursa needs Python 3.11 or newer, of 64 bits")
    if sys.flags.optimize:
        return warn("python", f"{fact}, run with -O", "run it without -O: its checks are left out")
    return ok("python", fact)


def processors() -> Finding:
    """How many may be used."""
    count = float(len(os.sched_getaffinity(0)))
    quota, _, period = _read("/sys/fs/cgroup/cpu.max").partition(" ")
    if quota.isdigit() and period.strip().isdigit():
        count = min(count, int(quota) / int(period))
    if count < PROCESSORS_ENOUGH:
        remedy = "give it two: feed and server share one, and answers come late at a busy open"
        return warn("processors", f"{count:g}", remedy)
    return ok("processors", f"{count:g}")


def memory(wanted: int) -> Finding:
    """Against `wanted`, the bytes that the settings allow themselves."""
    facts = dict(re.findall(r"(\w+):\s+(\d+) kB", _read("/proc/meminfo")))
    if not {"MemTotal", "MemAvailable"} <= facts.keys():
        return ok("memory", "the system does not tell")
    total, free = int(facts["MemTotal"]) * 1024, int(facts["MemAvailable"]) * 1024
    limit, used = _read("/sys/fs/cgroup/memory.max"), _read("/sys/fs/cgroup/memory.current")
    if limit.isdigit() and used.isdigit():
        total, free = min(total, int(limit)), min(free, int(limit) - int(used))
    most = wanted + MEMORY_OWN
    fact = f"{_size(total)}, {_size(free)} free; bursa may take {_size(most)}"
    if total < MEMORY_MIN:
        return bad("memory", fact, f"{_size(MEMORY_MIN)} are the least")
    if most > total:
        remedy = "lower store.memory_mb, topics.mb_max or rings.mb, or give it more"
        return warn("memory", fact, remedy)
    return ok("memory", fact)


# -- clocks ----------------------------------------------------------------------------------------


def clock(now_ns: int, files: Iterable[Path]) -> Finding:
    """Is it later than all that was written by now: the program, and `files` of the data folder?"""
    now_s = now_ns / 1e9
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now_s))
    remedy = "set it right, best by NTP (`timedatectl set-ntp true`, or chrony)"
    made_s = max(path.stat().st_mtime for path in Path(bursa.__file__).parent.rglob("*.py"))
    if made_s > now_s + DAY_S:
        return bad("clock", f"{shown}: before the program was made", remedy)
    newest_s = max(map(_written_s, files), default=0.0)
    if newest_s > now_s + STEP_BORNE_S:
        fact = f"{shown}: {newest_s - now_s:,.0f} s before the newest file of the data folder"
        return bad("clock", fact, remedy)
    ticks = [time.monotonic_ns() for _ in range(1000)]
    if ticks != sorted(ticks):
        return bad("clock", f"{shown}: the steady clock went back", "report it: the kernel is ill")
    return ok("clock", shown)


def clock_sync() -> Finding:
    """What the kernel says of who keeps its clock right."""
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)
    if sys.maxsize < 2**32 or ctypes.CDLL(None).adjtimex(timex) < 0:
        return ok("clock sync", "the kernel does not tell")
    status = int.from_bytes(timex.raw[_STATUS_AT : _STATUS_AT + 4], sys.byteorder)
    error_us = int.from_bytes(timex.raw[_MAXERROR_AT : _MAXERROR_AT + 8], sys.byteorder)
    if status & _UNSYNCHRONISED:
        remedy = "run an NTP client (`timedatectl set-ntp true`, or chrony): ts_recv goes by it"
        return warn("clock sync", "nothing keeps the clock right", remedy)
    return ok("clock sync", f"kept right, to {error_us / 1e6:.3f} s at worst")


def time_zones() -> Finding:
    """Is each venue's zone known?"""
    names = sorted({venue.calendar.timezone for venue in VENUES.values()})
    missing = []
    for name in names:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, OSError, ValueError):
            missing.append(name)
    if missing:
        fact = f"no data of {', '.join(missing)}"
        return bad("time zones", fact, "install the package tzdata again (`make setup`)")
    return ok("time zones", ", ".join(names))


# -- ports -----------------------------------------------------------------------------------------


def port(name: str, host: str, number: int, ours: tuple[int, int], remedy: str) -> Finding:
    """Can it be had? `ours`: process and port of the bursa that runs on the folder, 0 where none;
    `remedy`: what to do where it cannot."""
    if not number:
        return ok(name, "a free one is taken at each start")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, number), family=family).close()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return bad(name, f"{host}:{number} cannot be had: {error.strerror}", remedy)
        pid, command = listener(number)
        if ours[0] and (pid == ours[0] or number == ours[1]):
            return ok(name, f"{host}:{number}: the bursa of this folder, process {ours[0]}")
        who = f"process {pid} ({command})" if pid else "a process of another user"
        return bad(name, f"{host}:{number} is held by {who}", remedy)
    return ok(name, f"{host}:{number} is free")


def listener(number: int) -> tuple[int, str]:
    """(process, its name) that listens on a TCP port; (0, "") where that may not be seen."""
    inodes = {
        f"socket:[{cells[9]}]"
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for cells in map(str.split, _read(table).splitlines()[1:])
        if cells[3] == _LISTENING and int(cells[1].rpartition(":")[2], 16) == number
    }
    for process in Path("/proc").glob("[0-9]*") if inodes else ():
        if inodes & set(_links(process / "fd")):
            return int(process.name), _read(str(process / "comm")).strip()
    return 0, ""


def _links(folder: Path) -> Iterator[str]:
    """Where a folder's links lead; those that vanish, or may not be seen, are left out."""
    with contextlib.suppress(OSError):
        for link in folder.iterdir():
            with contextlib.suppress(OSError):
                yield os.readlink(link)


# -- kernels ---------------------------------------------------------------------------------------


def kernels(venues: Collection[str]) -> Finding:
    """Are the compiled kernels of this version kept, those that a start of these venues needs?"""
    if not compiler.CACHE_DIR:
        remedy = "make ~/.cache writable: every start compiles all kernels, half a minute"
        return warn("kernels", "there is no folder to keep them in", remedy)
    kept = Path(compiler.CACHE_DIR)
    home = Path(bursa.__file__).parent
    modules = {
        (path.parent.name, path.stem)
        for room in KERNEL_ROOMS
        for path in (home / room).glob("*.py")
        if "\n@njit(" in path.read_text("utf-8")
        and path.stem not in KERNELS_ASIDE
        and KERNELS_OF.get(path.parent.name, "") in ("", *venues)
    }
    # The compiler names a room's folder ROOM_digest, a kernel's file MODULE.function-line...
    files = (path for path in kept.rglob("*.nbi"))
    present = {(p.parent.name.partition("_")[0], p.name.partition(".")[0]) for p in files}
    missing = modules - present
    fact = f"{len(modules) - len(missing)} of {len(modules)} modules are compiled, in {kept}"
    if missing:
        return warn("kernels", fact, "the next start compiles the others, up to half a minute")
    return ok("kernels", fact)


# --------------------------------------------------------------------------------------------------


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""


def _written_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # gone meanwhile
        return 0.0


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB"

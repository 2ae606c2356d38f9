"""Who holds a lease: a process, told apart from a later one that bears its number.

`host/boot/pid/start`, the start as the kernel tells it. With that, another process on the machine
can say that a holder is gone without waiting for its lease to expire.
"""

import os
import socket
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
# Fields of /proc/PID/stat behind the command's name: the state is the first, the start the 20th.
_START = 19


def me() -> str:
    """This process."""
    pid = os.getpid()
    return "/".join((socket.gethostname(), _boot(), str(pid), _start(pid) or "0"))


def gone(holder: str) -> bool:
    """Did the process end? False where that cannot be told from here: its lease expires then.
    What stands behind a `#` names a part of it."""
    parts = holder.partition("#")[0].split("/")
    if len(parts) != 4 or not parts[2].isdigit() or parts[0] != socket.gethostname():
        return False
    boot, pid, start = parts[1], int(parts[2]), parts[3]
    return bool(_boot()) and (boot != _boot() or _start(pid) != start)


def _boot() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


def _start(pid: int) -> str:
    """When a process began, in ticks of the kernel; "" where there is none, or only its end is
    waited for."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = told.rpartition(")")[2].split()
    return "" if fields[0] in ("Z", "X") else fields[_START]

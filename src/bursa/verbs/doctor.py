"""`bursa doctor`: is this machine, this data folder, this configuration fit to run bursa?

One finding for each question, with its remedy (finding.py). Looks and never changes anything, but
for a file it makes and removes to see whether the data folder can be written. A source is connected
to and left again without a login: that might end a running session. The machine is machine.py's.
"""

import os
import pwd
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console

from bursa.accounts.limits import MEMORY
from bursa.accounts.limits_server import LimitsServer
from bursa.accounts.mail import Server, SmtpMail
from bursa.api.front import is_loopback
from bursa.app import MB, SystemClock, state_version, venues_of
from bursa.config import MASK, Config, Loaded, rows
from bursa.config.mold import MoldUdp
from bursa.config.sources import endpoints
from bursa.metrics.catalog import catalogue
from bursa.model.calendar import HOW_TO_AMEND
from bursa.model.errors import BursaError, Refuse, Retry
from bursa.model.venue import VENUES
from bursa.ops import logs
from bursa.sources import DRIVERS
from bursa.store.folder import Holder, ask, holder
from bursa.verbs import machine
from bursa.verbs.finding import BAD, Finding, bad, ok, tell, warn
from bursa.web import tradingview

CONNECT_S = 2.0
ANSWER_S = 2.0
MAIL_S = 5.0
# A start compiles kernels and recovers before it answers.
START_S = 300.0
DISK_WARN_SEGMENTS, DISK_BAD_SEGMENTS = 20, 2


def run_doctor(
    load: Callable[[], Loaded], file: str, data: str | None, *, as_json: bool, say: Console
) -> int:
    """Look at everything and tell it. `load` reads the configuration, `file` names its file ("":
    none), `data` is the folder where it cannot be read. Returns 1 if anything is bad."""
    try:
        loaded, refused = load(), None
    except Refuse as error:
        loaded, refused = Loaded(Config(data=data or Config().data), {}), error
    logs.setup("error", "auto")
    config = loaded.config
    folder = Path(config.data).absolute()
    by = _holder(folder)
    findings = chain(
        (machine.python(), machine.processors(), machine.memory(_memory(config, folder))),
        (machine.clock(SystemClock().now_ns(), _files(folder)), machine.clock_sync()),
        (machine.time_zones(), machine.kernels(_venues(config, folder))),
        _configuration(loaded, file, refused),
        calendars(sorted(_venues(config, folder)), SystemClock().now_ns()),
        _folder(folder),
        (disk(folder, config.journal.segment_mb * MB, config.retention.disk_gb), lock(folder, by)),
        state(folder),
        accounts(config),
        limits(config),
        mail(config),
        _ports(config, by),
        _tradingview(config.web.tradingview),
        sources(config),
    )
    return tell(findings, say, as_json)


def _venues(config: Config, folder: Path) -> set[str]:
    """Names of the venues that a start runs."""
    try:
        return {venue.name for venue in venues_of(config, folder, demo=False)}
    except OSError:  # told by the folder's own finding
        return set()


def _memory(config: Config, folder: Path) -> int:
    """Bytes that the settings allow."""
    venues = max(1, len(_venues(config, folder)))
    return (config.store.memory_mb + venues * (config.topics.mb_max + config.rings.mb)) * MB


# -- configuration ---------------------------------------------------------------------------------


def _configuration(loaded: Loaded, file: str, refused: Refuse | None) -> Iterator[Finding]:
    refused = refused or _metrics_refused(loaded.config)
    if refused is not None:
        fact = str(refused)
        yield bad("configuration", fact, "mend it: `bursa config show` lists what is allowed")
        return
    kinds = [origin.partition(" ")[0] for origin in loaded.origins.values()]
    parts = [f"file {file}: {kinds.count('file')} values"] if file else ["no file"]
    parts.append(f"environment: {kinds.count('environment')} values")
    yield ok("configuration", ", ".join(parts))
    secret = any(
        origin.startswith("file") and MASK in str(value) for _, value, origin in rows(loaded)
    )
    if secret and file and Path(file).stat().st_mode & 0o077:
        fact = f"{file} holds a secret and others may read it"
        yield warn("configuration", fact, f"chmod 600 {file}, or give it by its BURSA_ variable")


def _metrics_refused(config: Config) -> Refuse | None:
    """What a start would say of `metrics.extra`: the catalogue reads its names, not the
    configuration."""
    try:
        catalogue(config.metrics.extra)
    except Refuse as refused:
        return refused
    return None


def calendars(venues: Sequence[str], now_ns: int) -> Iterator[Finding]:
    """Are the holidays known of today and the next weeks, of the venues that have any?"""
    for name in venues:
        calendar = VENUES[name].calendar
        if not calendar.holidays:
            continue
        day, path = calendar.day_of(now_ns), f"calendar of {name}"
        if ending := calendar.ending(day):
            yield warn(path, ending, f"{HOW_TO_AMEND}: calendar.{name}")
        else:
            left = (calendar.dates.known_until - day).days
            yield ok(path, f"{calendar.told()}: for {left} days more")


def _tradingview(folder: str) -> Iterator[Finding]:
    """An operator's charting library, as the pages would load it; nothing where none is named."""
    try:
        if library := tradingview.load(folder):
            yield ok("tradingview", f"{folder}, served at {library.path}")
    except Refuse as refused:
        remedy = "web.tradingview: the folder of your licensed library, or empty for none"
        yield bad("tradingview", str(refused), remedy)


# -- the data folder -------------------------------------------------------------------------------


def _folder(folder: Path) -> Iterator[Finding]:
    name = "data folder"
    if not _is_there(folder):
        above = next(filter(_is_there, folder.parents))
        if os.access(above, os.W_OK | os.X_OK):
            yield ok(name, f"{folder} is not there yet; the first start makes it")
        else:
            yield bad(name, f"{folder} cannot be made in {above}", "--data: another folder")
        return
    if not folder.is_dir():
        yield bad(name, f"{folder} is no folder", "--data: another one")
        return
    found, us = folder.stat(), os.geteuid()
    if found.st_uid != us:
        fact = f"{folder} is owned by {_user(found.st_uid)}, you are {_user(us)}"
        yield bad(name, fact, f"run as {_user(found.st_uid)}, or chown -R {_user(us)} {folder}")
        return
    if found.st_mode & 0o077:
        fact = f"{folder} is open to others (mode {found.st_mode & 0o777:04o})"
        yield bad(name, fact, f"chmod 700 {folder}")
        return
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as trial:
            trial.write(b"\0" * 4096)
            trial.flush()
            os.fsync(trial.fileno())
    except OSError as error:
        yield bad(name, f"{folder} cannot be written: {error.strerror}", "see its disk and rights")
        return
    strangers = sorted({_owner(path) for path in _files(folder)} - {us, -1})
    if strangers:
        fact = f"{folder} has files of {', '.join(map(_user, strangers))}"
        yield warn(name, fact, f"chown -R {_user(us)} {folder}")
        return
    yield ok(name, f"{folder}, mode {found.st_mode & 0o777:04o}, owned by {_user(us)}")


def state(folder: Path) -> Iterator[Finding]:
    """The state database, where there is one."""
    name = "state database"
    try:
        version = state_version(folder)
    except Refuse as refused:
        fact, _, remedy = str(refused).partition(": ")
        yield bad(name, fact, remedy)
    except (Retry, OSError) as away:
        yield warn(name, str(away), "look again; if it stays so, see the disk and the rights")
    else:
        if version is not None:
            yield ok(name, f"{folder / 'state.db'} can be read, version {version}")


def accounts(config: Config) -> Iterator[Finding]:
    """The server's database of accounts, where one is configured."""
    name = "accounts"
    if not config.accounts.database:
        return
    try:
        version = state_version(config.accounts.database)
    except Refuse as refused:
        fact, _, remedy = str(refused).partition(": ")
        yield bad(name, fact, remedy)
    except Retry as away:
        fact = str(away).removeprefix("state database ")
        remedy = "see that the server runs, and accounts.database; a start waits for it"
        yield bad(name, fact, remedy)
    else:
        what = "without tables: a start makes them" if version is None else f"version {version}"
        yield ok(name, f"their database answers, {what}")


def limits(config: Config) -> Iterator[Finding]:
    """The server that counts requests, where one is configured."""
    name = "limits"
    if config.accounts.limits == MEMORY:
        return
    try:
        server = LimitsServer(config.accounts.limits)
        server.check()
    except Refuse as refused:
        yield bad(name, str(refused), "see accounts.limits; a start is refused")
    except Retry as away:
        remedy = "see that it runs, and accounts.limits; meanwhile half the rate is given"
        yield warn(name, str(away).removeprefix("limits: "), remedy)
    else:
        yield ok(name, f"{server} answers")


def mail(config: Config) -> Iterator[Finding]:
    """The mail server, as letters would reach it: signed in at and left, none is sent."""
    name, post = "mail", config.mail
    if not post.host:
        fact = "mail.host names no server: letters are shown on standard error"
        if is_deployed(config):
            yield warn(name, f"{fact}, links and all", "set mail.host, or nobody can sign up")
        else:
            yield ok(name, fact)
        return
    server = Server(post.host, post.port, post.security, post.user, post.password, post.sender)
    try:
        SmtpMail(server, SystemClock(), timeout_s=MAIL_S).check()
    except Refuse as refused:
        yield bad(name, str(refused), "see mail.security and mail.user; letters would be lost")
    except Retry as away:
        remedy = "see mail.host, mail.port and its password; letters wait an hour for it"
        yield warn(name, str(away), remedy)
    else:
        where = f"{post.host}:{post.port}"
        if is_loopback(post.sender.rpartition("@")[2].strip("> ")):
            fact = f"{where} answers, but letters would come from {post.sender}"
            yield warn(name, fact, "set mail.sender to an address of your own")
            return
        how = f", takes {post.user}" if post.user else ""
        yield ok(name, f"{where} answers{how} ({post.security}); no letter was sent")


def is_deployed(config: Config) -> bool:
    """Do others than this machine reach it, as the settings say?"""
    return bool(config.http.public_url or config.http.hosts or config.http.proxies) or (
        not is_loopback(config.http.host)
    )


def disk(folder: Path, segment_bytes: int, cap_gb: float) -> Finding:
    """Room for what comes: the journal alone takes a segment at a time."""
    place = next(filter(_is_there, (folder, *folder.parents)))
    found = shutil.disk_usage(place)
    fact = f"{found.free / 1e9:,.1f} GB of {found.total / 1e9:,.1f} GB are free at {place}"
    remedy = "make room, or cap the folder: retention.disk_gb"
    if found.free < DISK_BAD_SEGMENTS * segment_bytes:
        return bad("disk", fact, f"{remedy}; a full disk stops the feed")
    if found.free < DISK_WARN_SEGMENTS * segment_bytes:
        return warn("disk", fact, remedy)
    if cap_gb * 1e9 > found.total:
        return warn("disk", f"{fact}; retention.disk_gb is {cap_gb:g}", "lower retention.disk_gb")
    return ok("disk", fact)


def lock(folder: Path, by: Holder | None) -> Finding:
    """Who holds the folder, and does he answer?"""
    name = "lock"
    if by is None:
        if _size(folder / "lock"):
            return ok(name, "nobody holds the folder; the last one was killed, a start mends that")
        return ok(name, "nobody holds the folder")
    if not by.pid:
        return bad(name, "a process that is no bursa holds it", f"see `fuser {folder}/lock`")
    who = f"process {by.pid} since {by.since}" + (f", {by.url}" if by.url else "")
    if not by.socket:
        held_s = SystemClock().now_ns() / 1e9 - datetime.fromisoformat(by.since).timestamp()
        if held_s < START_S:
            return ok(name, f"{who}: it starts, or replays")
        return warn(name, f"{who} does not answer", "a long replay is well; else end the process")
    try:
        ask(folder, "doctor", {}, ANSWER_S)
    except Refuse as refused:
        if refused.code != "unknown_verb":
            return bad(name, f"{who}: {refused}", f"see its log; else end process {by.pid}")
    except BursaError as error:
        return bad(name, f"{who}: {error}", f"see its log; else end process {by.pid}")
    return ok(name, f"{who}, answers")


def _holder(folder: Path) -> Holder | None:
    try:
        return holder(folder)
    except OSError:  # told by the folder's own finding
        return None


def _files(folder: Path) -> list[Path]:
    """What lies in the data folder, two levels deep."""
    try:
        return [*folder.glob("*"), *folder.glob("*/*")]
    except OSError:
        return []


# -- ports and sources -----------------------------------------------------------------------------


def _ports(config: Config, by: Holder | None) -> Iterator[Finding]:
    pid = by.pid if by else 0
    url_port = urlsplit(by.url).port or 0 if by else 0
    another = "give another: http.port, or `bursa up --port N` (0: a free one)"
    yield machine.port("http.port", config.http.host, config.http.port, (pid, url_port), another)
    another = "give another: telemetry.port"
    wanted = config.telemetry.port
    found = machine.port("telemetry.port", "127.0.0.1", wanted, (pid, 0), another)
    if found.state == BAD:  # a start does without
        yield warn(found.name, f"{found.fact}; a start takes a free one", found.remedy)
    else:
        yield found


def sources(config: Config) -> Iterator[Finding]:
    """Can each line be reached? All at once, in the order of the configuration. To UDP nobody
    connects, so of such a line only its host's name is looked up."""
    if not config.feeds:
        yield ok("sources", "none is configured; `bursa up --demo` brings its own")
        return
    lines = [
        (f"feeds.{name}.{key}", endpoint, isinstance(source, MoldUdp))
        for name, source in config.feeds.items()
        for key, endpoint in endpoints(source)
    ]
    for name, source in config.feeds.items():
        yield from _driver(f"feeds.{name}.type", type(source))
    if lines:
        with ThreadPoolExecutor(len(lines)) as pool:
            yield from pool.map(_reach, *zip(*lines, strict=True))


def _driver(path: str, kind: type) -> Iterator[Finding]:
    """Is the library there that a source of this kind speaks by, where it takes one?"""
    if kind not in DRIVERS:
        return
    module, extra = DRIVERS[kind]
    if find_spec(module) is None:
        yield bad(path, f"{module} is not installed", f"pip install 'bursa[{extra}]'")
    else:
        yield ok(path, f"{module} is installed")


def _reach(path: str, endpoint: str, udp: bool) -> Finding:
    """Connect and leave; of UDP look the host up."""
    host, _, number = endpoint.rpartition(":")
    began = time.perf_counter()
    try:
        if udp:
            socket.getaddrinfo(host, int(number), type=socket.SOCK_DGRAM)
            return ok(path, f"{endpoint} is UDP: only packets tell, once bursa runs")
        socket.create_connection((host, int(number)), CONNECT_S).close()
    except OSError as error:
        why = f"no answer within {CONNECT_S:g} s" if isinstance(error, TimeoutError) else ""
        fact = f"{endpoint} cannot be reached: {why or error.strerror or error}"
        return bad(path, fact, "see the address, the network and the firewall between")
    took_ms = (time.perf_counter() - began) * 1000
    return ok(path, f"{endpoint} takes connections, {took_ms:.1f} ms (no login was tried)")


# --------------------------------------------------------------------------------------------------


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _is_there(path: Path) -> bool:
    """Is it, as far as we may see?"""
    try:
        return path.exists()
    except OSError:
        return False


def _owner(path: Path) -> int:
    try:
        return path.lstat().st_uid
    except OSError:
        return -1


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0

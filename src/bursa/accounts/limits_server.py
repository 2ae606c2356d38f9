"""Counters on a Redis or a Valkey, which several processes share: the library's storage of it.

One asks for at most TIMEOUT_S and then does without. The server counts by its own clock, by scripts
that count and weigh in one step; keys end by themselves two windows after their last request.
"""

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from bursa.accounts.counters import WINDOW_S
from bursa.model.errors import Refuse, Retry

if TYPE_CHECKING:
    from limits.aio.storage import RedisStorage
    from limits.storage import RedisStorage as Blocking

SCHEMES = ("redis", "rediss", "valkey", "valkeys")
TLS = ("rediss", "valkeys")
# What a URL of TLS may say behind `?`: files of PEM.
FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
PREFIX = "bursa"
# A request waits no longer for its count, once it is asked for.
TIMEOUT_S = 1.0
# Questions at once, each on a connection of its own.
TURNS = 8
# Counted in to see whether it counts, and never full.
LOOKED_AT, LOOKS_MAX = "looked-at", 1 << 30
# Keys that the server looks at between two answers of a scan.
SCANNED_AT_ONCE = 500


class LimitsAway(Exception):
    """The server did not count."""


class LimitsServer:
    """The counters of one server. Its methods are of one event loop at a time; a new loop gets new
    connections. Raises Refuse `bad_config` where it cannot be used at all."""

    def __init__(self, url: str) -> None:
        self._url, self._parts = url, _judged(url)
        self._options = _options(self._parts.scheme)
        # Made now, so that what it imports holds up no loop; it connects when it is asked first.
        self._storage: RedisStorage | None = self._made()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turns = asyncio.Semaphore(TURNS)
        self._failures = 0

    def __str__(self) -> str:
        """Where it is, without its password."""
        port = f":{self._parts.port}" if self._parts.port else ""
        return f"{self._parts.scheme}://{self._parts.hostname}{port}"

    async def take(
        self, key: str, limit: int, window_s: int = WINDOW_S
    ) -> tuple[bool, int, float, int]:
        """As Counters.take; a key has windows of one length. Raises LimitsAway."""
        return await self._ask(key, limit, window_s)

    async def look(self, key: str) -> tuple[int, float, int]:
        """The same without counting, and so without the first figure. Raises LimitsAway."""
        return (await self._ask(key, None))[1:]

    async def _ask(
        self, key: str, limit: int | None, window_s: int = WINDOW_S
    ) -> tuple[bool, int, float, int]:
        storage, failures = self._here(), self._failures
        async with self._turns:
            if self._failures != failures:
                raise LimitsAway("it did not answer those who asked before")
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    allowed = limit is not None and await storage.acquire_sliding_window_entry(
                        key, limit, window_s
                    )
                    window = await storage.get_sliding_window(key, window_s)
            except _errors(storage) as error:
                self._failures += 1
                raise LimitsAway(str(error) or f"no answer within {TIMEOUT_S} s") from error
        before, before_s, present, present_s = window
        # Its windows begin with a bucket's first request: the present one is over with the weight
        # of the one before, or a window before it would itself be forgotten.
        left_s = max(before_s if before else present_s - window_s, 0.0)
        return allowed, before, left_s, present

    async def forget(self, key: str) -> None:
        """Forget a bucket. Raises Retry."""
        storage = self._here()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await storage.clear_sliding_window(key, WINDOW_S)
        except _errors(storage) as error:
            raise self._away(error) from error

    async def clear(self, start: str) -> int:
        """Forget the buckets whose names begin so: by SCAN, which keeps nobody waiting as KEYS
        would. Returns how many keys went. Raises Retry."""
        storage = self._here()
        client = _client(storage)
        count = 0
        # A key's name stands in braces, so that both of its minutes lie on one server.
        pattern = _literal(f"{PREFIX}:{{{start}") + "*"
        try:
            where = -1
            while where:
                where, found = await client.scan(max(where, 0), pattern, SCANNED_AT_ONCE)
                count += int(await client.delete(*found)) if found else 0
        except _errors(storage) as error:
            raise self._away(error) from error
        return count

    def check(self) -> None:
        """Raise Retry where it does not count: one that is full, or is only read from, answers and
        does not. Blocks."""
        from limits.storage import RedisStorage as Blocking

        storage = Blocking(self._url, key_prefix=PREFIX, **self._options["blocking"])
        try:
            storage.acquire_sliding_window_entry(LOOKED_AT, LOOKS_MAX, WINDOW_S)
        except _errors(storage) as error:
            raise self._away(error) from error
        finally:
            storage.storage.close()

    def _away(self, error: Exception) -> Retry:
        return Retry(f"limits: {self} is away: {error}", public="the limits' counters are away")

    async def close(self) -> None:
        """Let go of the connections."""
        if self._storage is not None and self._loop is asyncio.get_running_loop():
            await _client(self._storage).aclose()
        self._storage = None

    def _here(self) -> "RedisStorage":
        loop = asyncio.get_running_loop()
        if self._storage is None or self._loop is not loop:
            if self._storage is None or self._loop is not None:
                self._storage = self._made()
            self._loop, self._turns = loop, asyncio.Semaphore(TURNS)
        return self._storage

    def _made(self) -> "RedisStorage":
        from limits.aio.storage import RedisStorage

        options = self._options["loop"]
        return RedisStorage(
            f"async+{self._url}", implementation="redispy", key_prefix=PREFIX, **options
        )


def _judged(url: str) -> SplitResult:
    """The parts of a URL of which the clients understand all. Refuse `bad_config`."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in SCHEMES and parts.hostname and parts.port != 0
    except ValueError:  # of a port, or of brackets
        parts, known = SplitResult("", "", "", "", ""), False
    if not known or not re.fullmatch("/?|/[0-9]{1,5}", parts.path, re.ASCII):
        allowed = ", ".join(f"{scheme}://HOST:PORT/NUMBER" for scheme in SCHEMES)
        raise _bad(f"allowed: memory, {allowed}")
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if parts.scheme not in TLS or name not in FILES:
            raise _bad(f"?{name[:64]}: allowed, of {' and '.join(TLS)}: {', '.join(FILES)}")
        if not Path(value).is_file():
            raise _bad(f"{name}={value[:200]}: there is no such file")
    return parts


def _bad(why: str) -> Refuse:
    return Refuse(f"accounts.limits: {why}", "bad_config", parameter="accounts.limits")


def _client(storage: "RedisStorage") -> Any:
    """What the library asks the server by."""
    bridge: Any = storage.bridge
    return bridge.get_connection()


def _errors(storage: "RedisStorage | Blocking") -> tuple[type[Exception], ...]:
    found = storage.base_exceptions
    return (OSError, TimeoutError, *(found if isinstance(found, tuple) else (found,)))


def _literal(text: str) -> str:
    """Text as a pattern of the server's that matches nothing else."""
    return "".join(f"\\{letter}" if letter in "*?[]\\^-" else letter for letter in text)


def _options(scheme: str) -> dict[str, dict[str, Any]]:
    """What the clients are made with: short waits, and no tries of their own behind our back."""
    name = "valkey" if scheme.startswith("valkey") else "redis"
    try:
        retry = _valkey() if name == "valkey" else _redis()
    except ImportError as error:
        raise _bad(f"{name}:// needs its client: install bursa[{name}] ({error})") from error
    same: dict[str, Any] = {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S}
    if scheme in TLS:
        # Left alone, Valkey's client takes a certificate of whichever host.
        same["ssl_check_hostname"] = True
    return {use: {**same, "retry": how} for use, how in retry.items()}


def _redis() -> dict[str, Any]:
    from redis.asyncio.retry import Retry as LoopRetry
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return {"loop": LoopRetry(NoBackoff(), 0), "blocking": Retry(NoBackoff(), 0)}


def _valkey() -> dict[str, Any]:
    from valkey.asyncio.retry import Retry as LoopRetry
    from valkey.backoff import NoBackoff
    from valkey.retry import Retry

    return {"loop": LoopRetry(NoBackoff(), 0), "blocking": Retry(NoBackoff(), 0)}

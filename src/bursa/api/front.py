"""How this server is reached: its names, the proxies before it, what is said of it in links.

Values that the configuration gives and the guard reads. Listens on nothing.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from bursa.api.cookies import SessionCookie
from bursa.model.errors import Refuse

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# [::1]:80, name:80, and an IPv6 address without brackets.
_HOST = re.compile(rb"(?:\[([0-9a-f:.]*:[0-9a-f:.]*)\]|([a-z0-9.\-]+))(?::\d{1,5})?|([0-9a-f:]+)")
_LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


def is_loopback(host: str) -> bool:
    """Is an address, or `localhost`, this machine's own?"""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_own_name(host: bytes) -> bool:
    """Is the value of a Host header a name that leads nobody but this machine to itself?"""
    return _name_of(host) in _LOOPBACK_NAMES


def _name_of(host: bytes) -> str:
    """Of a Host header, lower case, without the port; "" where it is none."""
    found = _HOST.fullmatch(host.lower())
    return (found[1] or found[2] or found[3]).decode() if found else ""


@dataclass(frozen=True)
class Front:
    """How a server is reached.

    host             the address that it listens on
    names            names it answers to beside loopback's, lower case, without ports
    proxies          networks whose requests tell truly whom they are for
    public_url       what links in mail begin with; "": a name of its own, see `link`
    rate_per_minute  requests a minute of one address, or of one session at the pages; 0: no limit
    demo             is everybody on this machine the demo's user?
    """

    host: str = "127.0.0.1"
    names: frozenset[str] = frozenset()
    proxies: tuple[Network, ...] = ()
    public_url: str = ""
    rate_per_minute: int = 0
    demo: bool = False

    @cached_property
    def secure(self) -> bool:
        """Are its cookies for TLS only? Anywhere but on a machine that nobody else reaches."""
        return (
            not is_loopback(self.host)
            or bool(self.proxies)
            or self.public_url.startswith("https://")
        )

    @cached_property
    def cookie(self) -> SessionCookie:
        """The cookie of its sessions."""
        return SessionCookie(self.secure)

    def answers_to(self, host: bytes) -> bool:
        """Does it answer to the value of a Host header?"""
        name = _name_of(host)
        return bool(name) and (name in _LOOPBACK_NAMES or name in self.names)

    def link(self, scheme: str, host: bytes, port: int) -> str:
        """What links in letters begin with, for who came by a Host; `port` is the one listened on.
        Where no public_url is set, that is one of the names at the port listened on, or at the
        scheme's: links bear secrets, and whoever has one sent chooses no other place for it."""
        if self.public_url:
            return self.public_url
        name, _, given = host.decode("latin-1").lower().partition(":")
        if name in self.names:
            return f"{scheme}://{name}" + (f":{port}" if given == str(port) else "")
        mine = min(self.names, default=self.host) if not is_loopback(self.host) else self.host
        return f"{scheme}://{f'[{mine}]' if ':' in mine else mine}:{port}"


def front_of(
    host: str,
    hosts: Sequence[str] = (),
    proxies: Sequence[str] = (),
    public_url: str = "",
    rate_per_minute: int = 0,
    demo: bool = False,
) -> Front:
    """A front of settings. Refuse `bad_config` where they contradict; a demo off loopback does."""
    names = {name.lower() for name in hosts}
    if public_url:
        names.add(_host_of(public_url))
    if not is_loopback(host):
        if demo:
            message = f"http.host={host}: the demo lets anybody in, so it serves this machine alone"
            raise Refuse(f"{message} (127.0.0.1)", "bad_config", parameter="http.host")
        if not names:
            message = f"http.host={host}: say by which names it is reached in http.hosts"
            raise Refuse(message, "bad_config", parameter="http.hosts")
    return Front(
        host,
        frozenset(names),
        tuple(_network(proxy) for proxy in proxies),
        public_url.rstrip("/"),
        rate_per_minute,
        demo,
    )


def _host_of(public_url: str) -> str:
    try:
        name = urlsplit(public_url).hostname
    except ValueError:
        name = None
    if not name:
        message = f"http.public_url: {public_url!r} names no host, as https://data.example.com does"
        raise Refuse(message, "bad_config", parameter="http.public_url")
    return name


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        message = f"http.proxies: {error}; a network is an address or like 10.0.0.0/8"
        raise Refuse(message, "bad_config", parameter="http.proxies") from None

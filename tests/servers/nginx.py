"""nginx of Debian's package before a server on loopback, by the configuration that the docs give.

What is in the docs is used as it stands, but for the name, the ports and the places of files.
"""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.servers.broker import Broker, connects, free_port, missing
from tests.servers.certificates import Certificates

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy.md"
NAME = "data.example.com"
_MAIN = """
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr;
events {{ worker_connections 256; }}
http {{
    access_log off;
    {temps}
    {sites}
}}
"""


def documented(language: str, beginning: str = "") -> list[str]:
    """The blocks of docs/deploy.md in a language that begin so."""
    blocks = re.findall(
        rf"^```{language}\n(.*?)^```$", DEPLOY.read_text(), re.DOTALL | re.MULTILINE
    )
    return [block for block in blocks if block.startswith(beginning)]


class Nginx(Broker):
    """One proxy, whose name is localhost: of an address a client says no name. `port`: HTTPS;
    `plain_port`: what leads there."""

    def __init__(self, folder: Path, certificates: Certificates) -> None:
        self._program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if self._program is None:
            missing("nginx is not installed")
        super().__init__(folder, free_port())
        self.plain_port, self._certificates = free_port(), certificates
        self.url = f"https://localhost:{self.port}"

    def command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        """What to run, and its environment."""
        options = ("-p", str(self.folder), "-c", "nginx.conf", "-e", "stderr")
        return [str(self._program), *options], os.environ

    def write(self, behind: str, change: Mapping[str, str] | None = None) -> None:
        """Configure it for a server at HOST:PORT; in what the docs say `change` is replaced."""
        plain, tls = (documented("nginx", start)[0] for start in ("# Without", "map "))
        sites = plain + tls
        for old, new in (change or {}).items():
            assert old in sites, f"{DEPLOY.name} does not say: {old}"
            sites = sites.replace(old, new)
        sites = re.sub(r"^ *listen \[::\].*\n", "", sites, flags=re.MULTILINE)
        own = {
            "listen 80": f"listen 127.0.0.1:{self.plain_port}",
            "listen 443": f"listen 127.0.0.1:{self.port}",
            "127.0.0.1:18090": behind,
            f"https://{NAME}": self.url,
            f"/etc/letsencrypt/live/{NAME}/fullchain.pem": str(self._certificates.certificate),
            f"/etc/letsencrypt/live/{NAME}/privkey.pem": str(self._certificates.key),
            "/var/log/nginx/access.log": str(self.folder / "access.log"),
            NAME: "localhost",
        }
        for old, new in own.items():
            sites = sites.replace(old, new)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temps = "\n    ".join(f"{kind}_temp_path {self.folder}/{kind};" for kind in kinds)
        config = _MAIN.format(folder=self.folder, temps=temps, sites=sites)
        (self.folder / "nginx.conf").write_text(config)

    def answers(self) -> bool:
        """Does it listen?"""
        return connects(self.port) and connects(self.plain_port)

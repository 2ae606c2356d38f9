"""A certificate authority of a test's own, and a server's certificate for 127.0.0.1, by openssl."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.servers.broker import missing


@dataclass(frozen=True)
class Certificates:
    """PEM files: the authority's certificate, the server's certificate and key (PKCS#8)."""

    authority: Path
    certificate: Path
    key: Path


def make(folder: Path, days: int = 2) -> Certificates:
    """Made anew in a folder; good for so many days."""
    if shutil.which("openssl") is None:
        missing("openssl is not installed")
    folder.mkdir(parents=True)
    (folder / "of").write_text(
        "subjectAltName=IP:127.0.0.1,DNS:localhost\nauthorityKeyIdentifier=keyid\n"
        "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n"
    )
    key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256"
    usage = "-addext keyUsage=critical,keyCertSign"
    _openssl(
        folder, f"req -x509 {key} -keyout ca.key -out ca.pem -days {days} -subj /CN=tests {usage}"
    )
    _openssl(folder, f"req {key} -keyout server.key -out server.csr -subj /CN=127.0.0.1")
    signed = f"-CA ca.pem -CAkey ca.key -CAcreateserial -days {days} -extfile of"
    _openssl(folder, f"x509 -req -in server.csr {signed} -out server.pem")
    return Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")


def _openssl(folder: Path, arguments: str) -> None:
    subprocess.run(
        ["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True, timeout=60
    )

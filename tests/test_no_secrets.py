"""No secret is in the repository or in the wheel: all are made at the first start.

What only looks like one is known by its form, or stands in EXAMPLES.
"""

import base64
import hashlib
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

TOP = Path(__file__).parent.parent
LOOKS: Mapping[str, re.Pattern[bytes]] = {
    "a private key": re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{16}"),
    "an API key": re.compile(rb"idx_live_[0-9a-f]{64}"),
    "a token": re.compile(rb"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}"),
    "a kept password": re.compile(rb"\$(argon2id?|2[aby]|6)\$[^\s\"']{40,}"),
    "a key of a cloud": re.compile(rb"\b(AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[\w-]{35}\b"),
    "a key of a forge": re.compile(rb"\b(gh[pousr]_\w{36}|github_pat_\w{40}|glpat-[\w-]{20})"),
    "a key of a messenger": re.compile(rb"\bxox[abpr]-[\w-]{10,}|\b\d{8,10}:AA[\w-]{33}\b"),
    "a password in a URL": re.compile(rb"\b\w+://[\w.-]+:[^\s/@\"'<>{}]+@[\w.]"),
}
# What stands for a password in docs and tests.
EXAMPLES = frozenset({b"password", b"PASSWORD", b"hunter2", b"b", b"secret"})
# Files that would be secrets, or hold them, whatever is in them.
NAMES = re.compile(
    r"(^|/)(\.env(\..*)?|id_(rsa|ed25519|ecdsa)|\.netrc|\.pgpass|.*\.(pem|key|p12|pfx|jks|kdbx|db))$"
)


def found_in(name: str, content: bytes) -> list[str]:
    """What looks like a secret in a file: what it looks like, and where, not the thing itself."""
    seen = [f"{name}: its name is a secret's"] if NAMES.search(name) else []
    for what, look in LOOKS.items():
        for match in look.finditer(content):
            if not known(match.group()):
                line = content.count(b"\n", 0, match.start()) + 1
                seen.append(f"{name}:{line}: looks like {what}")
    return seen


def known(match: bytes) -> bool:
    """Is it an example that nobody could take for one?"""
    password = match.rpartition(b"@")[0].rpartition(b":")[2]
    key = match.rpartition(b"_")[2]
    return password in EXAMPLES or len(set(key)) <= 2 or key == b"0123456789abcdef" * 4


def tracked() -> Iterator[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=TOP,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        path = TOP / name
        if name and path.is_file():
            yield path


def test_the_repository_holds_no_secret() -> None:
    try:
        files = list(tracked())
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    assert len(files) > 500
    seen = [
        one for path in files for one in found_in(str(path.relative_to(TOP)), path.read_bytes())
    ]
    assert not seen


def test_the_wheel_holds_no_secret(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="no hatchling to build a wheel with")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=TOP,
        check=True,
        capture_output=True,
        timeout=240,
    )
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = wheel.namelist()
        assert len(names) > 300
        assert not [one for name in names for one in found_in(name, wheel.read(name))]


def test_each_look_finds_what_it_is_for() -> None:
    made = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    digits = hashlib.sha256(b"an example").hexdigest()

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    examples = {
        "a private key": made.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
        "an API key": "idx_live_" + digits,
        "a token": f"{part({'alg': 'RS256'})}.{part({'sub': 'usr_1'})}.{digits}",
        "a kept password": "$argon2id" + "$v=19$m=19456,t=2,p=1$" + digits,
        "a key of a cloud": "AKIA" + digits[:16].upper(),
        "a key of a forge": "ghp_" + digits[:36],
        "a key of a messenger": "xoxb-" + digits[:20],
        "a password in a URL": "postgresql://bursa:" + digits[:9] + "@db.example/x",
    }
    assert set(examples) == set(LOOKS)
    for what, text in examples.items():
        said = found_in("a.txt", f"line\n{text}\n".encode())
        assert f"a.txt:2: looks like {what}" in said
    for name in ("a/.env", "deploy/server.pem", "signing-1.pem", "hd.key", "state.db", "id_rsa"):
        assert found_in(name, b"")
    assert not found_in("keys.py", b"idx_live_" + b"0123456789abcdef" * 4)

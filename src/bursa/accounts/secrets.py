"""The program's own secrets: a folder of files that only its user may read.

    DATA/secrets/                          0700
      hd.key                      0600     32 random bytes: what HD is multiplied by for whom
      pages.key                   0600     32 random bytes: the tokens of forms
      signing-<kid>.pem           0600     RSA of 2048 bits: what tokens are signed with

Made at the first start, never sent anywhere, never logged. A signing key's name begins with the
time at which it was made, so the newest sorts last: that one signs, older ones only verify, until
all that they signed is over. Several processes may share one folder.
"""

import contextlib
import os
import re
import secrets
import stat
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bursa.accounts.ids import digest
from bursa.model.errors import Refuse
from bursa.ops.logs import logger

SECRETS_FOLDER = "secrets"
RSA_BITS = 2048
KEY_BYTES = 32
# How often a folder is read again at most, whoever asks.
REREAD_NS = 1_000_000_000
_SIGNING = re.compile(r"signing-([0-9]{8}T[0-9]{6}-[0-9a-f]{8})\.pem")


class Secrets:
    """The secrets of one folder, read when it is made; any thread may use it.

    hd     the secret of HD's factors, 32 bytes
    pages  the secret of the tokens of forms, 32 bytes
    """

    def __init__(self, folder: Path, now_ns: int) -> None:
        """Read a folder, or make what it lacks. Refuse `bad_secrets` where others may read it, or
        a file is no secret of ours."""
        self.folder = folder
        self._lock, self._read_ns = Lock(), now_ns
        self._signing: dict[str, rsa.RSAPrivateKey] = {}
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_mode(folder)
            self.hd, self.pages = self._bytes("hd.key"), self._bytes("pages.key")
            self._load()
            if not self._signing:
                self.rotate(now_ns)
        except OSError as error:
            raise Refuse(f"{folder}: {error}", "bad_secrets", 503) from error

    @property
    def fingerprint(self) -> str:
        """Tells one folder of secrets from another, and nothing of what is in it."""
        return digest(f"hd {self.hd.hex()}")[:16]

    @property
    def signing(self) -> dict[str, rsa.RSAPrivateKey]:
        """Keys by kid, oldest first. Replaced as a whole where they are others, never changed."""
        return self._signing

    @property
    def kid(self) -> str:
        """The key that signs now."""
        return next(reversed(self._signing))

    def rotate(self, now_ns: int) -> str:
        """Make a new signing key and sign with it from now on; returns its kid. Older ones go on to
        verify. Takes some 100 ms."""
        made = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
        text = made.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        # A second later than the newest at least: the newest is the one that signs.
        at_s = max([now_ns // 10**9, *(made_s(kid) + 1 for kid in self._signing)])
        at = datetime.fromtimestamp(at_s, UTC).strftime("%Y%m%dT%H%M%S")
        kid = f"{at}-{secrets.token_hex(4)}"
        _write(self.folder / f"signing-{kid}.pem", text)
        self._load()
        logger("accounts").info("tokens are signed with a new key", kid=kid)
        return kid

    def retire(self, before_s: int) -> list[str]:
        """Delete signing keys that signed nothing since `before_s` (seconds since 1970): those with
        a newer one that was made before it. Returns their kids."""
        kids = list(self._signing)
        newer = zip(kids, kids[1:], strict=False)
        gone = [kid for kid, after in newer if made_s(after) < before_s]
        for kid in gone:
            with contextlib.suppress(FileNotFoundError):  # another process was first
                (self.folder / f"signing-{kid}.pem").unlink()
        if gone:
            self._load()
        return gone

    def reread(self, now_ns: int) -> bool:
        """Look for signing keys that another process made or retired, at most once a second.
        Returns whether they are others now. Takes well below a millisecond where they are not."""
        with self._lock:
            if 0 <= now_ns - self._read_ns < REREAD_NS:
                return False
            self._read_ns = now_ns
        before = self._signing
        try:
            self._load()
        except (OSError, Refuse) as error:
            # Those that were read go on to serve.
            logger("accounts").warning("secrets cannot be read again", why=str(error))
        return self._signing is not before

    def _load(self) -> None:
        with self._lock:
            names = [match for path in self.folder.iterdir() if (match := _named(path))]
            found: dict[str, rsa.RSAPrivateKey] = {}
            for kid in sorted(names):
                known = self._signing.get(kid)
                with contextlib.suppress(FileNotFoundError):  # retired just now, by another process
                    found[kid] = known or _signing_key(self.folder / f"signing-{kid}.pem")
            if list(found) != list(self._signing):
                self._signing = found

    def _bytes(self, name: str) -> bytes:
        path = self.folder / name
        if not path.exists():
            _write(path, secrets.token_bytes(KEY_BYTES))
        _check_mode(path)
        found = path.read_bytes()
        if len(found) != KEY_BYTES:
            text = f"{path} has {len(found)} bytes, not {KEY_BYTES}: bring back the one that was"
            raise Refuse(f"{text} here", "bad_secrets", 503)
        return found


def has_secrets(folder: Path) -> bool:
    """Is there the secret that accounts are tied to?"""
    return (folder / "hd.key").exists()


def made_s(kid: str) -> int:
    """When a signing key was made, seconds since 1970."""
    return int(datetime.strptime(kid[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC).timestamp())


def _named(path: Path) -> str:
    match = _SIGNING.fullmatch(path.name)
    return match.group(1) if match else ""


def _signing_key(path: Path) -> rsa.RSAPrivateKey:
    _check_mode(path)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise Refuse(f"{path} is no signing key: {error}", "bad_secrets", 503) from error
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < RSA_BITS:
        text = f"{path} is no RSA key of at least {RSA_BITS} bits"
        raise Refuse(text, "bad_secrets", 503)
    return key


def _check_mode(path: Path) -> None:
    """Refuse what others than its owner may read or write."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        wanted = "0700" if path.is_dir() else "0600"
        text = f"{path} may be read by others (mode {mode:04o}): chmod {wanted} it"
        raise Refuse(text, "bad_secrets", 503)


def _write(path: Path, content: bytes) -> None:
    """Make a file of its owner's alone, whole and on disk or not at all; one that another process
    made meanwhile stays."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(file, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(beside, path)
    finally:
        beside.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

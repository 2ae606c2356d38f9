"""bursa: a real-time market-data platform, from the exchange's wire to the screen."""

import hashlib
import os
import sys
from contextlib import suppress
from pathlib import Path

__version__ = "0.1.0"

_KEPT = 4


def _keep_kernels_by_source() -> str:
    """Compiled kernels lie in a folder named by a digest of the sources that they are made from
    (files with kernels, and the vocabulary whose constants they use): the compiler's own cache
    does not notice that a kernel in another file, which this one calls, has changed. Answers with
    why there is no such folder, "" where there is."""
    if "NUMBA_CACHE_DIR" in os.environ:
        return ""
    digest = hashlib.blake2b(digest_size=8)
    home = Path(__file__).parent
    for path in sorted(home.rglob("*.py")):
        text = path.read_bytes()
        if b"njit" in text or path.parent == home / "model":
            digest.update(text)
    places = (Path(sys.prefix) / "var" / "bursa", Path.home() / ".cache" / "bursa")
    for place in places:
        kernels = place / "kernels" / digest.hexdigest()
        with suppress(OSError):
            kernels.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.utime(kernels)
            os.environ["NUMBA_CACHE_DIR"] = str(kernels)
            _forget_old(kernels.parent)
            return ""
    tried = " nor ".join(map(str, places))
    return (
        f"compiled kernels can be kept neither in {tried}: give this user a home that he may write"
        " to, or name a folder of his own in NUMBA_CACHE_DIR"
    )


def _forget_old(folder: Path) -> None:
    """Keep the newest few; another process may be doing the same."""
    for old in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)[:-_KEPT]:
        for file in sorted(old.rglob("*"), reverse=True):
            with suppress(OSError):
                file.rmdir() if file.is_dir() else file.unlink()
        with suppress(OSError):
            old.rmdir()


no_kernels = _keep_kernels_by_source()

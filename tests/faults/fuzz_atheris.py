"""One target of fuzz.py under atheris, which is led by what code an input reaches.

    python tests/faults/fuzz_atheris.py "idx blocks" [-max_total_time=60] [CORPUS_FOLDER]

Kernels are compiled and tell it nothing; what is Python does. Needs the extra `fuzz`.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))


def compiled() -> list[str]:
    """Modules with kernels: what atheris writes into a function, Numba cannot compile."""
    source = ROOT / "src"
    files = [path for path in source.rglob("*.py") if "njit" in path.read_text()]
    return [".".join(path.relative_to(source).with_suffix("").parts) for path in files]


with atheris.instrument_imports(include=["bursa"], exclude=compiled()):
    from tests.faults.fuzz import targets


def main() -> None:
    """Begin with the target's own good inputs."""
    name, options = sys.argv[1], sys.argv[2:]
    with targets() as found, TemporaryDirectory() as corpus:
        target = found[name]
        for at, seed in enumerate(target.seeds):
            (Path(corpus) / str(at)).write_bytes(seed)
        atheris.Setup([sys.argv[0], *options, corpus], target.check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()

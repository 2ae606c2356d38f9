"""`python -m bursa` is the command `bursa`, from its first import to the end of its process."""

import gc
import sys

from bursa.ops.ending import run_to_the_end

# So many new objects before Python looks for garbage: nothing of what is imported and made at a
# start is any, and to look for it each 700 takes a server 0.4 s until it listens.
_SELDOM = 50_000


class _Unasked:
    """Stands before sys.meta_path's finders: Arrow looks for pandas at its first conversion, which
    takes 40 MB and up to a second where it is installed, and nothing here uses it."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(f"{name} is not used here", name=name)


def run() -> None:
    """The command, and the end of the process."""
    run_to_the_end(_command)


def _command() -> None:
    gc.set_threshold(_SELDOM, 10, 10)
    sys.meta_path.insert(0, _Unasked)
    from bursa.cli import main

    main()


if __name__ == "__main__":
    run()

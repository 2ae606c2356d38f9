"""`python -m bursa` is the command `bursa`, from its first import to the end of its process."""

import gc

from bursa.ops.ending import run_to_the_end

# So many new objects before Python looks for garbage: nothing of what is imported and made at a
# start is any, and to look for it each 700 takes a server 0.4 s until it listens.
_SELDOM = 50_000


def run() -> None:
    """The command, and the end of the process."""
    run_to_the_end(_command)


def _command() -> None:
    gc.set_threshold(_SELDOM, 10, 10)
    from bursa.cli import main

    main()


if __name__ == "__main__":
    run()

"""`python -m bursa` is the command `bursa`, from its first import to the end of its process."""

import gc

from bursa.ops.ending import run_to_the_end


def run() -> None:
    """The command, and the end of the process."""
    run_to_the_end(_command)


def _command() -> None:
    gc.disable()  # nothing of what is imported is garbage
    from bursa.cli import main

    gc.enable()
    main()


if __name__ == "__main__":
    run()

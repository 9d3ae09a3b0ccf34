"""`python -m nnctl` is `nnctl`."""

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; until it can say something, Ctrl-C just ends the process, without a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from nnctl.cli import main as run

    run()


if __name__ == "__main__":
    main()

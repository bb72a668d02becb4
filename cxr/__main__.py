"""The command line: `python -m cxr COMMAND`."""

import os
import signal
import sys
from collections.abc import Sequence

STOPPED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code.

    `arguments` are the words after `python -m cxr`; None for those of this process.
    """
    # Imported only now: what is imported before Ctrl-C is heeded may show a traceback.
    from cxr.commands import program

    return program.run(arguments)


def _stop(number: int, frame: object) -> None:
    """Ends the process at once on Ctrl-C.

    An exception instead would show a traceback wherever nobody waits for it, and
    libraries that catch everything would swallow it. Nothing is lost: whatever is
    stored is stored whole, and the workers end with their pipes.
    """
    os.write(2, b"\nStopped.\n")
    os._exit(STOPPED)


if __name__ == "__main__":
    # A shell has background processes ignore Ctrl-C, which stays so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stop)
    sys.exit(main())

"""The command line. :func:`main` is the console script; the commands are listed in ``registry``."""

import os
import signal
from typing import NoReturn


def main() -> NoReturn:
    """Exits with the command's code, or that of its error."""
    _heed_sigterm()
    # Not at the top: it takes a while, and the signal may come meanwhile.
    from reactor.cli import entry

    entry.main()


def _heed_sigterm() -> None:
    """In a container this is the first process, to which a signal that it has no handler for does nothing.

    So a migration that waits for a lock would wait on until it is killed, and so would a replica that is
    stopped in its first moments. `reactor run` has a handler of its own later.
    """
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))


__all__ = ["main"]

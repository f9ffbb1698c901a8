"""The command line. :func:`main` is the console script; the commands are listed in ``registry``."""

from reactor.cli.entry import main

__all__ = ["main"]

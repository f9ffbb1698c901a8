"""The standard streams as a shell hands them over: closed, full, or in an encoding that lacks letters."""

import io
import os
import sys


class Output(io.TextIOWrapper):
    """stdout that remembers why it could not be written: an OSError alone may be the database's as well."""

    failed: OSError | None = None

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self.failed = error
            raise

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self.failed = error
            raise


def prepare() -> None:
    """Called once, before anything opens a file."""
    # The event loop takes the lowest free number for its own, and aborts when that is one of these three.
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    # Python has no stream where the shell closed it. It lives as long as the process.
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    given = sys.stdout
    sys.stdout = Output(
        given.buffer if given else open(os.devnull, "wb"),  # noqa: PTH123, SIM115
        encoding=given.encoding if given else "utf-8",
        errors="replace",  # a letter that the terminal lacks is no reason to show nothing
        line_buffering=given is not None and given.isatty(),
        write_through=getattr(given, "write_through", False),  # PYTHONUNBUFFERED
    )


def failure() -> OSError | None:
    """Why stdout could not be written, if that is what went wrong."""
    return sys.stdout.failed if isinstance(sys.stdout, Output) else None


def give_up() -> None:
    """What is left in the buffer goes nowhere, instead of failing once more when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

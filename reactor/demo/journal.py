"""Where the logs of a demo go: into a file, so that they do not write across the screen."""

import logging
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

_LOUD = ("warning", "error", "critical")


@dataclass(slots=True)
class Journal:
    """The file, and how many warnings and errors are in it."""

    path: Path
    warnings: int = 0

    def count(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """A processor of structlog."""
        self.warnings += event.get("level") in _LOUD
        return event


class _Count(logging.Filter):
    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def filter(self, record: logging.LogRecord) -> bool:
        self._journal.warnings += record.levelno >= logging.WARNING
        return True


@contextmanager
def kept_in(path: Path) -> Iterator[Journal]:
    """All logs of this process go to ``path``, which begins anew. Emails of the console provider, too."""
    journal = Journal(path)
    root = logging.getLogger()
    before = root.handlers[:], root.level, structlog.get_config()
    with path.open("w", buffering=1) as file:
        handler = logging.StreamHandler(file)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        handler.addFilter(_Count(journal))
        root.handlers, root.level = [handler], logging.INFO
        logging.getLogger("httpx2").setLevel(logging.WARNING)
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso"),
                structlog.processors.format_exc_info,
                journal.count,
                structlog.processors.JSONRenderer(default=str),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            logger_factory=structlog.WriteLoggerFactory(file=file),
            cache_logger_on_first_use=False,
        )
        try:
            yield journal
        finally:
            root.handlers, root.level = before[0], before[1]
            structlog.configure(**before[2])

"""Every error of ours, and how an SQLSTATE becomes one.

An error says in one line what is wrong and names the thing; its hint says what to do next.
The command line prints both and exits with ``exit_code``: 1 the work failed, 2 the input or a
setting is wrong, 3 the database or the surroundings are.
"""

import copyreg
import re
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from typing import Any

#: Longest text of an error that is kept, in characters.
_LONGEST = 2000
#: Groups in groups are looked into so deep; what is below says nothing that a person would look for.
_DEEPEST = 50


class ReactorError(Exception):
    """Base of all errors that a user is meant to read."""

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        detail: str | None = None,
        exit_code: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.detail = detail
        if exit_code is not None:
            self.exit_code = exit_code

    def __str__(self) -> str:
        return self.message


class SettingError(ReactorError):
    """A setting, or an argument on the command line, is wrong."""

    exit_code = 2


class ConnectError(ReactorError):
    """The server cannot be reached, or it refuses us."""

    exit_code = 3


class NotMigrated(ReactorError):
    """The database lacks schema ``reactor``, or has an older one than this program needs."""

    exit_code = 3


class MissingPrivilege(ReactorError):
    """The connecting role may not do what is needed."""

    exit_code = 3


class MigrationError(ReactorError):
    """A migration failed, or an applied one was edited since."""


class Fenced(ReactorError):
    """The run no longer holds its tenant's lease; nothing that it did is committed."""


class NoTenant(ReactorError):
    """A tenant's rows were asked for in a transaction that has no tenant set."""


class BadArgument(ReactorError):
    """A function of schema ``reactor`` was called with an argument that it does not accept."""

    exit_code = 2


class ScopeBroken(ReactorError):
    """A handler ended or left the transaction that the reactor had opened for it."""


class NotLeader(ReactorError):
    """Another replica leads now; the work of the former leader is refused."""


class WriteSkipped(ReactorError):
    """Rows that were to be written were left out in silence, by a trigger or rule of the application's."""


class Retry(Exception):
    """Raised by a handler: try this event again, after ``after`` (``None``: the usual backoff).

    ``counts=False`` says that nothing was tried (a window is closed, a circuit is open): the event keeps
    its attempts, so it can wait as long as it must.
    """

    def __init__(self, after: timedelta | None = None, reason: str = "", *, counts: bool = True) -> None:
        given: object = after
        if given is not None and not isinstance(given, timedelta):
            # Here it is the handler's mistake, with its line; later it would be the engine's.
            raise TypeError(
                f"Retry(after=…) takes a timedelta or None, not {given!r:.80}: "
                "write it as Retry(timedelta(seconds=5))"
            )
        super().__init__(reason or "retry asked for")
        self.after = after
        self.reason = reason
        self.counts = counts

    def __reduce__(self) -> tuple[Any, ...]:
        # What comes out of a process pool is made again as it was; by default its text would be ``after``.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class Discard(Exception):
    """Raised by a handler: this event is finished without effect, and ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        given: object = reason
        if not isinstance(given, str):
            raise TypeError(f"Discard(reason) takes the reason as text, not {given!r:.80}")
        super().__init__(reason)
        self.reason = reason


# The SQLSTATEs that functions of schema reactor raise. Class RX is free in the SQL standard.
SQLSTATES: dict[str, type[ReactorError]] = {
    "RX001": Fenced,
    "RX002": NoTenant,
    "RX003": BadArgument,
    "RX004": ScopeBroken,
    "RX005": NotLeader,
    "RX006": WriteSkipped,
}


#: What to do about those whose functions cannot know it.
_HINTS = {"RX004": "use ctx.db.transaction() for a savepoint, ctx.checkpoint() to commit early"}


def from_sqlstate(sqlstate: str | None, text: str) -> ReactorError | None:
    """The error for one of our own SQLSTATEs; ``None`` for any other. ``text`` is the driver's."""
    kind = SQLSTATES.get(sqlstate or "")
    if sqlstate is None or kind is None:
        return None
    message, detail, hint = taken_apart(text)
    return kind(message, detail=detail, hint=hint or _HINTS.get(sqlstate))


def taken_apart(text: str) -> tuple[str, str | None, str | None]:
    """Message, detail and hint of a server's error, which the driver makes one text of."""
    message, _, hint = text.partition("\nHINT:  ")
    message, _, detail = message.partition("\nDETAIL:  ")
    return message, detail or None, hint or None


def storable(text: str) -> str:
    """Text of any origin as PostgreSQL can keep it: no NUL, no half of a surrogate pair, not endless."""
    clean = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    return clean if len(clean) <= _LONGEST else clean[: _LONGEST - 1] + "…"


def redact(text: object) -> str:
    """``text`` without the passwords of the URLs and key=value strings in it."""
    given = str(text)
    if "://" not in given and "password" not in given.lower():
        return given
    # Begins with what is rare: asked where each word begins and might end, a long one takes hours.
    hidden = re.sub(r"(://[^\s:/@]*):[^\s/]*@", r"\1:***@", given)
    hidden = re.sub(r"\b(resend://)[^\s:/@]+@", r"\1***@", hidden)  # its user name is the key
    return re.sub(r"(?i)\b(password|sslpassword)=('(?:[^'\\]|\\.)*'|[^\s&]+)", r"\1=***", hidden)


def text_of(error: BaseException) -> str:
    """What an error says, storable and without passwords; empty if it says nothing.

    An application's class may raise when asked.
    """
    try:
        return storable(redact(error))
    except KeyboardInterrupt:
        raise
    except BaseException as refused:
        return f"(its text cannot be read: {type(refused).__name__})"


def kind_of(error: BaseException) -> str:
    """The name of an error's class, storable."""
    return storable(type(error).__name__)


def downward(error: BaseException) -> Iterator[BaseException]:
    """The error; of a group also its first member, and so on. Not endless: a group may be its own member."""
    return islice(_downward(error), _DEEPEST)


def _downward(error: BaseException) -> Iterator[BaseException]:
    yield error
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
        yield error

"""Why a request gets no answer, as an error for people, and the HTTP status that says it."""

import asyncpg

from reactor.db.refusals import known_as
from reactor.errors import BadArgument, ConnectError, MissingPrivilege, NotMigrated, ReactorError


class Refused(ReactorError):
    """Something about the request itself."""

    def __init__(self, status: int, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class Busy(ReactorError):
    """Too many look at the database through this dashboard already."""


def as_refusal(error: Exception) -> ReactorError | None:
    """What to say of it; ``None`` for a mistake of ours."""
    match error:
        case ReactorError():
            return error
        case asyncpg.QueryCanceledError():
            return ConnectError(
                "the database took too long, and was not waited for",
                hint="choose less, by type or tenant, or try again when it has less to do",
            )
        case OSError() | asyncpg.InterfaceError() | asyncpg.InternalClientError():
            why = str(error) or "it took too long"
            return ConnectError("the database does not answer", detail=why)
        case _:
            return known_as(error)


def status_of(error: ReactorError) -> int:
    """The status that goes with it."""
    match error:
        case Refused():
            return error.status
        case Busy() | ConnectError() | NotMigrated():
            return 503
        case MissingPrivilege():
            return 403
        case BadArgument():
            return 404 if error.message.startswith("there is no ") else 400
        case _:
            return 409

"""What the database refused, as an error for people: for the command line and the dashboard."""

import asyncpg

from reactor.db.pool import explain, missing_privilege
from reactor.errors import (
    ConnectError,
    MissingPrivilege,
    NotMigrated,
    ReactorError,
    from_sqlstate,
    taken_apart,
)


def known_as(error: Exception) -> ReactorError | None:
    """What the database said, as an error for people; None for what is a defect of ours."""
    if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        inner = error.exceptions[0]
        if isinstance(inner, ReactorError):
            return inner
        return known_as(inner) if isinstance(inner, Exception) else None
    match error:
        case UnicodeEncodeError() | asyncpg.DataError(__cause__=UnicodeEncodeError()):
            # The shell hands bytes over as they are; no text of the database can hold these.
            return ReactorError("an argument is not UTF-8 text", exit_code=2)
        case asyncpg.InsufficientPrivilegeError():
            refused: MissingPrivilege = missing_privilege(error)
            refused.hint = getattr(error, "hint", None) or refused.hint
            return refused
        case (
            asyncpg.InvalidSchemaNameError()
            | asyncpg.UndefinedFunctionError()
            | asyncpg.UndefinedTableError()
        ):
            return NotMigrated(taken_apart(str(error))[0], hint="run `reactor migrate`")
        case asyncpg.LockNotAvailableError():
            message, detail, _ = taken_apart(str(error))
            return ReactorError(
                f"another session holds what this needs: {message}",
                detail=detail,
                hint="`reactor doctor` names the session",
            )
        case asyncpg.PostgresError():
            ours = from_sqlstate(error.sqlstate, str(error)) or explain(error, "")
            if ours is not None:
                return ours
            message, detail, hint = taken_apart(str(error))
            return ReactorError(f"the database says: {message}", detail=detail, hint=hint)
        case asyncpg.InterfaceError() | ConnectionError():
            return ConnectError(f"the connection to the database was lost: {error}", hint="run it again")
        case _:
            return None

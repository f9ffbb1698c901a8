"""What to do about an error that a handler met, where that is known."""

import re

import asyncpg

from reactor.errors import ReactorError, downward

_NO_GRANT = re.compile(r"permission denied for table (.+)")
_OTHER_TENANT = re.compile(r'violates row-level security policy (?:"reactor_tenant_only" )?for table "')


def hint_for(error: BaseException) -> str | None:
    """The next step for a person, in a line; ``None`` where the error says all that is known."""
    *_, innermost = downward(error)
    match innermost:
        case ReactorError():
            # A subclass may never have called our constructor.
            hint = getattr(innermost, "hint", None)
            return hint if isinstance(hint, str) else None
        case asyncpg.InsufficientPrivilegeError():
            said = innermost.args[0] if innermost.args else ""
            if found := _NO_GRANT.fullmatch(str(said)):
                return (
                    "handlers may not use this table yet; let them, each for its own tenant: "
                    f"select reactor.protect({_literal(_identifier(found[1]))})"
                )
            if _OTHER_TENANT.search(str(said)):
                return "the row is of another tenant than the event's; a handler writes rows of its own only"
            return None
        case _:
            return None


def _identifier(name: str) -> str:
    """A name as SQL reads it; the server's message has it bare, and without its schema."""
    return name if re.fullmatch(r"[a-z_][a-z0-9_$]*", name) else '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

"""Statements that a handler may not run: transaction, role, tenant and session are the engine's."""

import re

# Statements that would end our transaction, or leave the tenant or its role. Row level security and the
# check in reactor.settle() are the guard; this says it before harm is done, and names the statement.
# A prepared one would be found by the next tenant's handler, and the driver prepares by itself.
_FORBIDDEN = re.compile(
    r"\s*(commit|end\b|abort|begin|start\s+transaction|prepare\b|rollback(?!\s+(work\s+|transaction\s+)?to\b)"
    r"|reset\s+(role|all|session|reactor\b)|discard\b"
    r"|set\s+(local\s+|session\s+)?(role\b|session\s+authorization|transaction\b|reactor\b)"
    # Ours: one of a handler's with that name would hide it, and undoing an event would undo a part.
    r"|(savepoint|release(\s+savepoint)?|rollback\s+(work\s+|transaction\s+)?to(\s+savepoint)?)\s+reactor_)",
    re.IGNORECASE,
)
# The same by way of a function: of these settings, or of one that the text does not name.
_FORBIDDEN_CALL = re.compile(
    r"\bset_config\b[\s\"]*\((?!\s*'(?!\s*(reactor\s*\.|role\b|session_authorization\b|transaction_))[^']*'\s*,)[^)]*",
    re.IGNORECASE,
)


# Where a statement could begin that is not the first: only then is the text looked at closely.
_SUSPICIOUS = re.compile(
    r"\b(commit|end|abort|begin|start|prepare|rollback|savepoint|release|reset|discard|role|authorization"
    r"|transaction|reactor)\b"
    r"|\bset_config\b",
    re.IGNORECASE,
)
# What may hide or fake a statement: comments, quoted names, strings and dollar-quoted bodies.
_HIDING = re.compile(r"--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"", re.DOTALL)
# A quoted name of one of these settings, or like our savepoints', is a name all the same.
_QUOTED = re.compile(r'"(reactor|role|reactor_\w*)"', re.IGNORECASE)


def forbidden_statement(query: str) -> str | None:
    """The statement in ``query`` that would end the transaction or leave the tenant, if there is one.

    It is a guard against mistakes: what SQL puts together while it runs (``do``, ``execute``) is not seen.
    """
    if _SUSPICIOUS.search(query) is None:
        return None
    for statement in _HIDING.sub(" ", _QUOTED.sub(r"\1", query)).split(";"):
        if _FORBIDDEN.match(statement):
            return " ".join(statement.split())[:60]
    if call := _FORBIDDEN_CALL.search(query):
        return " ".join(call[0].split())[:60]
    return None

"""Statements that a handler may not run: transaction, role and session are the engine's."""

import re

# Statements that would end our transaction or leave the tenant's role. Row level security and the
# check in reactor.settle() are the guard; this says it before harm is done, and names the statement.
# A prepared one would be found by the next tenant's handler, and the driver prepares by itself.
_FORBIDDEN = re.compile(
    r"\s*(commit|end\b|abort|begin|start\s+transaction|prepare\b|rollback(?!\s+(work\s+|transaction\s+)?to\b)"
    r"|reset\s+(role|all|session)|discard\b|set\s+(local\s+|session\s+)?(role\b|session\s+authorization|transaction\b))",
    re.IGNORECASE,
)


# Where a statement could begin that is not the first: only then is the text looked at closely.
_SUSPICIOUS = re.compile(
    r"\b(commit|end|abort|begin|start|prepare|rollback|reset|discard|role|authorization|transaction)\b",
    re.IGNORECASE,
)
# What may hide or fake a statement: comments, quoted names, strings and dollar-quoted bodies.
_HIDING = re.compile(r"--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"", re.DOTALL)


def forbidden_statement(query: str) -> str | None:
    """The statement in ``query`` that would end the transaction or leave the role, if there is one."""
    if _SUSPICIOUS.search(query) is None:
        return None
    for statement in _HIDING.sub(" ", query).split(";"):
        if _FORBIDDEN.match(statement):
            return " ".join(statement.split())[:60]
    return None

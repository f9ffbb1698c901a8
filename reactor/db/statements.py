"""Splits SQL text into statements, for the files that may not run in a transaction.

Several statements sent at once are one implicit transaction, so they must be sent one by one.
"""

import re

# What may contain a semicolon that ends nothing, and the semicolon itself.
_TOKEN = re.compile(
    r"""
      (?P<line>--[^\n]*)
    | (?P<block>/\*)
    | (?P<dollar>\$(?:[A-Za-z_]\w*)?\$)
    | (?P<escaped>\b[eE]'(?:[^'\\]|\\.|'')*')
    | (?P<quoted>'(?:[^']|'')*')
    | (?P<identifier>"(?:[^"]|"")*")
    | (?P<end>;)
    """,
    re.VERBOSE | re.DOTALL,
)


def split(text: str) -> list[str]:
    """The statements, without their semicolons; those that are only comments are left out."""
    statements: list[str] = []
    start = position = 0
    while token := _TOKEN.search(text, position):
        position = token.end()
        match token.lastgroup:
            case "block":
                position = _after_comment(text, position)
            case "dollar":
                closing = text.find(token.group(), position)
                position = len(text) if closing < 0 else closing + len(token.group())
            case "end":
                statements.append(text[start : token.start()])
                start = position
            case _:
                pass
    statements.append(text[start:])
    return [statement.strip() for statement in statements if _says_something(statement)]


def _after_comment(text: str, position: int) -> int:
    """Comments nest in SQL."""
    depth = 1
    while depth and (mark := re.compile(r"/\*|\*/").search(text, position)):
        depth += 1 if mark.group() == "/*" else -1
        position = mark.end()
    return len(text) if depth else position


def _says_something(statement: str) -> bool:
    return bool(re.sub(r"--[^\n]*|/\*.*?\*/", "", statement, flags=re.DOTALL).strip())

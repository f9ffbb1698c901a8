"""Splits SQL text into statements: for files that may not run in a transaction, and to say which one failed.

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
    | (?P<atomic>\bbegin\s+atomic\b)
    | (?P<case>\bcase\b)
    | (?P<close>\bend\b)
    | (?P<end>;)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


def split(text: str) -> list[tuple[int, str]]:
    """The offset at which each statement begins, and the statement: without the comments before it and its
    semicolon. What is only comments is left out."""
    found: list[tuple[int, str]] = []
    start = position = 0
    body = 0  # how deep in the body of a function that is written as BEGIN ATOMIC … END
    while token := _TOKEN.search(text, position):
        position = token.end()
        match token.lastgroup:
            case "block":
                position = _after_comment(text, position)
            case "dollar":
                closing = text.find(token.group(), position)
                position = len(text) if closing < 0 else closing + len(token.group())
            case "atomic":
                body = 1
            case "case" if body:
                body += 1
            case "close" if body:
                body -= 1
            case "end" if not body:
                found += _said(text, start, token.start())
                start = position
            case _:
                pass
    return found + _said(text, start, len(text))


def _said(text: str, start: int, end: int) -> list[tuple[int, str]]:
    """The statement between two offsets, if there is one."""
    while start < end:
        if text[start].isspace():
            start += 1
        elif text.startswith("--", start):
            newline = text.find("\n", start)
            start = end if newline < 0 else newline
        elif text.startswith("/*", start):
            start = _after_comment(text, start + 2)
        else:
            return [(start, text[start:end].strip())]
    return []


def _after_comment(text: str, position: int) -> int:
    """Comments nest in SQL."""
    depth = 1
    while depth and (mark := re.compile(r"/\*|\*/").search(text, position)):
        depth += 1 if mark.group() == "/*" else -1
        position = mark.end()
    return len(text) if depth else position

"""Splitting SQL text into statements."""

import pytest

from reactor.db.statements import split


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("select 1; select 2", ["select 1", "select 2"]),
        ("select 1;\n-- the end; really\n", ["select 1"]),
        (
            "select ';', \"a;b\", E'\\';', 'it''s;'; select 2",
            ["select ';', \"a;b\", E'\\';', 'it''s;'", "select 2"],
        ),
        ("do $$ begin perform 1; end $$; select 2", ["do $$ begin perform 1; end $$", "select 2"]),
        ("do $a$ x; $$ ; $$ $a$; select 2", ["do $a$ x; $$ ; $$ $a$", "select 2"]),
        ("/* a; /* b; */ c; */ select 1; /* ; */", ["/* a; /* b; */ c; */ select 1"]),
        ("", []),
        (" ; ; ", []),
        ("select $1; select 2", ["select $1", "select 2"]),
    ],
)
def test_only_a_semicolon_outside_of_quotes_and_comments_ends_a_statement(text, statements):
    assert split(text) == statements

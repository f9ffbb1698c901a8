"""Splitting SQL text into statements."""

import pytest
from pglast import parser

from reactor.db import sqlfiles
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
        ("/* a; /* b; */ c; */ select 1; /* ; */", ["select 1"]),
        ("", []),
        (" ; ; ", []),
        (
            "create function f() returns int begin atomic\n select case when true then 1 end; end; select 2",
            [
                "create function f() returns int begin atomic\n select case when true then 1 end; end",
                "select 2",
            ],
        ),
        ("begin; select 1; end; select 2", ["begin", "select 1", "end", "select 2"]),
        ("select $1; select 2", ["select $1", "select 2"]),
    ],
)
def test_only_a_semicolon_outside_of_quotes_and_comments_ends_a_statement(text, statements):
    found = split(text)
    assert [statement for _, statement in found] == statements
    assert all(text.startswith(statement, start) for start, statement in found)


@pytest.mark.parametrize("file", sqlfiles.load(), ids=lambda file: file.name)
def test_the_files_are_split_as_the_server_splits_them(file):
    parsed = parser.split(file.text, only_slices=True)
    offsets = [start for start, _ in split(file.text)]
    assert len(offsets) == len(parsed)
    assert all(part.start <= start < part.stop for start, part in zip(offsets, parsed, strict=True))

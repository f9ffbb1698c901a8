"""Which statements a handler may not run, as they end its transaction, leave its role or outlive it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactor.engine.forbidden import forbidden_statement

ENDS = ["commit", "COMMIT WORK", "end", "abort", "rollback", "begin", "start transaction", "reset role",
        "reset all", "discard all", "set role none", "set local role x", "set session authorization y",
        "set transaction read only", "prepare transaction 'x'", "rollback and chain",
        "prepare p as select 1", "set local reactor.tenant_id = 'x'", "set reactor.tenant_id to default",
        'set session "reactor".tenant_id = 1', 'set local "role" to x', "reset reactor.tenant_id",
        "select set_config('reactor.tenant_id', $1, true)", "select set_config( 'ROLE' , 'x', true)",
        "select pg_catalog.set_config($1, $2, true)", "select set_config('rea' || 'ctor.a', 'x', true)",
        'select pg_catalog."set_config"(\'session_authorization\', \'x\', true)',
        "savepoint reactor_event", 'savepoint "reactor_event"', "SAVEPOINT Reactor_handler_1",
        "rollback to reactor_event", "rollback work to savepoint reactor_event",
        "release reactor_event", 'release /* */ savepoint "reactor_event"']  # fmt: skip
FINE = ["select 1", "savepoint a", "rollback to a", "rollback to savepoint a", "rollback work to a",
        "release savepoint a", "savepoint my_reactor_event", "savepoint a; select 1 as reactor_event",
        "set local my.x = 1", "update t set role = 'x'",
        "insert into end_of_day values (1)", "select 'commit'", "select $$; commit$$",
        "select set_config('my.x', $1, true)", "set local my.reactor = 'x'", "select * from reactor.events",
        "select pg_catalog.set_config('work_mem', '4MB', true)", "insert into t values ('reactor.tenant_id')",
        "update settings set reactor = 1",
        'select 1 as "end; commit"',
        "do $x$ begin perform 1; end $x$", "-- commit\nselect 1", "/* ; commit */ select 1"]  # fmt: skip


@pytest.mark.parametrize("statement", ENDS)
@pytest.mark.parametrize(
    "wrap", ["{}", "  {} ;", "select 1; {}", "/* a */ {}", "-- a\n{}", "select 'x;' ;{}"]
)
def test_it_is_found_wherever_it_stands(statement: str, wrap: str) -> None:
    assert forbidden_statement(wrap.format(statement)) is not None


@pytest.mark.parametrize("statement", FINE)
def test_what_only_looks_like_it_is_let_through(statement: str) -> None:
    assert forbidden_statement(statement) is None


@given(
    st.lists(st.sampled_from(FINE), max_size=5),
    st.sampled_from(ENDS),
    st.lists(st.sampled_from(FINE), max_size=5),
)
def test_one_among_many_is_found(before: list[str], statement: str, after: list[str]) -> None:
    assert forbidden_statement("; ".join([*before, statement, *after])) is not None
    assert forbidden_statement("; ".join([*before, *after])) is None


@given(st.text(max_size=200))
def test_any_text_is_judged_without_an_error(text: str) -> None:
    forbidden_statement(text)

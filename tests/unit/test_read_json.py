"""JSON of the server that no ordinary reader can hold: one odd value never makes the rest unreadable."""

import pytest
from orjson import Fragment

from reactor.db.json_text import read_exactly, read_json, to_json
from reactor.db.pool import init

HUGE = "1" + "0" * 400
DEEP = "[" * 3000 + "]" * 3000


def test_a_number_beyond_floats_stays_text_beside_values_that_are_read():
    found = read_json(f'{{"mine": {HUGE}, "ours": 5}}')
    assert found["ours"] == 5
    assert isinstance(found["mine"], Fragment)
    assert to_json(found) == f'{{"mine":{HUGE},"ours":5}}'


@pytest.mark.parametrize("levels", [201, 300, 1100, 5000])
def test_what_is_nested_too_deeply_stays_text_and_can_be_written_again(levels):
    deep = "[" * levels + "]" * levels
    text = f'{{"a, \\"]":[1,2.5,"]}}"],"event":{{"payload":{{"x":{deep}}},"id":7}},"z":null}}'
    found = read_exactly(text)
    assert found['a, "]'] == [1, 2.5, "]}"]
    assert found["event"]["id"] == 7
    assert found["z"] is None
    assert to_json(found) == text


def test_numbers_are_the_same_again():
    text = "[0.1234567890123456789,9223372036854775808,-9223372036854775807,1.5]"
    assert to_json(read_exactly(text)) == text


async def test_the_driver_reads_any_jsonb(conn):
    row = await conn.fetchrow(
        "select $1::text::jsonb as huge, $2::text::jsonb as deep, $2::text::json as plain", HUGE, DEEP
    )
    for value in row.values():
        assert to_json(value) in (HUGE, DEEP)
    await init(conn)
    assert await conn.fetchval("select $1::jsonb::text", row["deep"]) == DEEP

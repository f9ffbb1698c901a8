"""The order of releases, which decides whose functions stay."""

import pytest

from reactor.db import releases

IN_ORDER = [
    "0.1.0.dev3",
    "0.1.0a1",
    "0.1.0b2",
    "0.1.0rc1",
    "0.1.0rc10",
    "0.1.0",
    "0.1.0.post1",
    "0.1.1",
    "0.2",
    "0.10.0",
    "1.0",
]


@pytest.mark.parametrize("n", range(len(IN_ORDER)))
def test_releases_are_in_the_order_of_their_numbers(n):
    noted = [f"release/{name}" for name in reversed(IN_ORDER)]
    assert releases.later([*noted, "schema/0001_foundation"], IN_ORDER[n]) == [
        f"release/{name}" for name in IN_ORDER[n + 1 :]
    ]


def test_a_zero_at_the_end_makes_no_other_release():
    assert releases.later(["release/1.0.0", "release/v1.0"], "1") == []


def test_the_own_release_is_one():
    assert releases.later(["release/0.0.1", f"release/{releases.own()}"], releases.own()) == []

"""The order of releases and of their builds, which decides whose functions stay."""

import re
from importlib.metadata import version

import pytest

from reactor.db import releases
from reactor.db.sqlfiles import SqlFile

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


def own(release: str, digest: str = "own") -> releases.Build:
    return releases.Build(release, digest)


@pytest.mark.parametrize("n", range(len(IN_ORDER)))
def test_releases_are_in_the_order_of_their_numbers(n):
    noted = {f"release/{name}-1": "another" for name in reversed(IN_ORDER)}
    assert releases.later(noted | {"schema/0001_foundation": "own"}, own(IN_ORDER[n])) == [
        f"release/{name}-1" for name in IN_ORDER[n + 1 :]
    ]


def test_builds_of_one_release_are_in_the_order_in_which_they_came():
    noted = {f"release/1.0-{n}": f"digest {n}" for n in range(1, 12)}
    assert releases.later(noted, own("1.0", "digest 8")) == [f"release/1.0-{n}" for n in (9, 10, 11)]
    assert releases.later(noted, own("1.0", "digest 11")) == []
    assert releases.later(noted, own("1.0", "never here")) == []
    assert releases.later(noted, own("0.9", "digest 8")) == list(noted)
    assert releases.later(noted | {"release/1.0": ""}, own("1.0", "digest 8")) == [
        f"release/1.0-{n}" for n in (9, 10, 11)
    ]


def test_a_zero_at_the_end_makes_no_other_release():
    assert releases.later({"release/1.0.0-1": "another", "release/v1.0": ""}, own("1")) == []


def test_the_digest_is_of_the_files_and_the_release_is_the_programs():
    files = [SqlFile("functions", "a", "select 1;"), SqlFile("schema", "0001_b", "select 2;")]
    one = releases.build(files)
    assert one == releases.build(files[::-1])
    assert one.release == version("reactor")
    assert one.digest != releases.build([*files[:1], SqlFile("schema", "0001_b", "select 3;")]).digest
    assert one.digest != releases.build(files[:1]).digest
    assert releases.later({f"release/{one.release}": ""}, one) == []


def test_programs_that_noted_no_builds_read_one_as_a_later_release():
    """So that their replicas start beside it: this is how those read a name."""
    read = re.fullmatch(r"release/(\d+(?:\.\d+)*)[._-]?(dev|a|b|rc|post)?[._-]?(\d*)", "release/0.1.0-1")
    assert read is not None
    assert read[1] == "0.1.0"
    assert read[2] is None
    assert int(read[3]) > 0

"""What the documents point to is there: files, headings, and names of the program."""

import re
from functools import cache
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from reactor import settings
from reactor.telemetry import metrics

ROOT = Path(__file__).parents[2]
#: The changes speak of names as they were.
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "benchmarks" / "README.md"])
SOURCES = ("reactor", "sql", "tests", "benchmarks", "tools", "deploy", "examples")
KINDS = (".py", ".sql", ".sh", ".yaml", ".env", ".toml")
#: Names of others, and names that stand for the reader's own.
FOREIGN = {"asyncio_mode", "hot_standby_feedback", "pg_dumpall", "test_decoding", "transaction_timeout"}
READERS = {"payment_failed", "whsec_new", "whsec_old", "your_module", "your_table"}


@cache
def words() -> frozenset[str]:
    """All words of the program and its tests, and the names of its files."""
    files = [file for folder in SOURCES for file in (ROOT / folder).rglob("*") if file.suffix in KINDS]
    texts = [file.read_text() for file in (*files, ROOT / "Makefile", ROOT / "Dockerfile")]
    shown = generate_latest(metrics.REGISTRY).decode()
    return frozenset(re.findall(r"\w+", " ".join((*texts, shown, *(file.stem for file in files)))))


@cache
def headings(page: Path) -> frozenset[str]:
    """As links name them."""
    found = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in found)


def code_of(page: Path) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", page.read_text()))


pages = pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])


@pages
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, heading = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), link
        assert not heading or heading in headings(target), link


@pages
def test_every_file_that_is_named_is_there(page: Path) -> None:
    inside = re.compile(rf"(?<![\w/.-])((?:{'|'.join(SOURCES)}|docs)/[\w./*-]*\w)")
    for code in code_of(page):
        for path in inside.findall(code):
            assert any(ROOT.glob(path)) or any(ROOT.glob(f"{path}.*")), path


@pages
def test_every_name_is_one_of_the_program(page: Path) -> None:
    if page.name == "CHANGELOG.md":
        pytest.skip("it speaks of names as they were")
    known = words() | FOREIGN | READERS | {settings.variable(name) for name in settings.Settings.model_fields}
    for code in code_of(page):
        for name in re.findall(r"(?<![\w…])[A-Za-z]+(?:_[A-Za-z0-9]+)+(?![\w…*])", code):
            assert name in known, f"{name} in `{code}`"

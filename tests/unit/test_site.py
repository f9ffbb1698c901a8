"""The site of the documents: all of them, in one order, and nothing in it that is not there or is elsewhere.

It is built in tests/deploy/test_site.py, where zensical is installed; this needs nothing.
"""

import os
import re
from pathlib import Path

import pytest

from tools import docs

ROOT = Path(__file__).parents[2]
CONFIGURATION = """
[project]
docs_dir = "build"
site_dir = "site"
extra_css = ["site.css"]
nav = [{ "Home" = "README.md" }, { "Part" = [{ "How to" = "docs/how.md" }] }]
[project.theme]
favicon = "icon.svg"
logo = "icon.svg"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "zensical.toml": CONFIGURATION,
        "README.md": "[how.md](docs/how.md) [a](docs/how.md#a) [LICENSE](LICENSE) [x](http://x.test) [-](no)",
        "docs/how.md": "# How\n\n![Plot](plot.svg) [Home](../README.md)",
        "docs/plot.svg": "<svg/>",
        "LICENSE": "",
        "site.css": "",
        "icon.svg": "",
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def test_the_navigation_names_every_document_once() -> None:
    named = re.findall(r'"([\w./-]+\.md)"', (ROOT / "zensical.toml").read_text())
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")]
    # AGENTS.md is for machines; results.md is made of a run, and is the last section of the benchmarks' page.
    left_out = {"AGENTS.md", "benchmarks/results.md"}
    assert sorted(named) == sorted({str(page.relative_to(ROOT)) for page in found} - left_out)
    assert list(docs.Project.load(ROOT).titles) == named


def test_the_front_page_leads_to_every_document() -> None:
    links = re.findall(r"\]\(([^)#]+\.md)", (ROOT / "README.md").read_text())
    assert {*links, "README.md"} == set(docs.Project.load(ROOT).titles)


def test_what_the_site_does_not_have_is_text_in_it_and_a_page_goes_by_its_title(folder: Path) -> None:
    docs.lay_out(folder, docs.Project.load(folder))
    assert (folder / "build" / "README.md").read_text() == (
        "[How to](docs/how.md) [a](docs/how.md#a) `LICENSE` [x](http://x.test) [-](no)"
    )
    laid_out = {str(file.relative_to(folder / "build")) for file in (folder / "build").rglob("*.*")}
    assert laid_out == {"README.md", "docs/how.md", "docs/plot.svg", "site.css", "icon.svg"}


def test_only_what_changed_is_laid_out_again(folder: Path) -> None:
    project = docs.Project.load(folder)
    docs.lay_out(folder, project)
    laid_out = folder / "build"
    for file in laid_out.rglob("*.*"):
        os.utime(file, (0, 0))
    (folder / "docs" / "how.md").write_text("# How\n\nWithout a plot.")
    docs.lay_out(folder, project)
    written = {str(file.relative_to(laid_out)) for file in laid_out.rglob("*.*") if file.stat().st_mtime}
    assert written == {"docs/how.md"}
    assert not (laid_out / "docs" / "plot.svg").exists()


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ('<a href="other.html#there">ok</a> <img src="plot.svg"> <a href="https://x.test">ok</a>', None),
        ('<a href="LICENSE">no file</a>', "index.html: LICENSE leads nowhere"),
        ('<img src="none.svg">', "index.html: none.svg leads nowhere"),
        ('<a href="other.html#gone">', "index.html: other.html#gone leads to no heading of other.html"),
        ('<a href="#gone">', "index.html: #gone leads to no heading of index.html"),
        (
            '<script src="https://x.test/js">',
            "index.html: https://x.test/js is fetched from another host",
        ),
        ('<img src="//x.test/a.svg">', "index.html: //x.test/a.svg is fetched from another host"),
    ],
)
def test_a_built_page_is_searched_for_what_is_not_there(tmp_path: Path, page: str, told: str | None) -> None:
    (tmp_path / "index.html").write_text(page)
    (tmp_path / "other.html").write_text('<h2 id="there">')
    (tmp_path / "plot.svg").write_text("<svg/>")
    assert list(docs.mistakes(tmp_path)) == ([told] if told else [])


def test_a_style_that_fetches_a_font_from_another_host_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "main.css").write_text("@font-face{src:url('https://x.test/a')} a{background:url(a.svg)}")
    assert list(docs.mistakes(tmp_path)) == ["main.css: https://x.test/a is fetched from another host"]

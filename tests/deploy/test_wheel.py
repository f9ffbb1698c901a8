"""What is installed from a wheel, without the checkout, is complete."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from reactor.db import sqlfiles

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = target.glob("*.whl")
    return built


def test_the_wheel_has_the_sql_and_the_licence(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"reactor/_sql/{file.name}.sql" for file in sqlfiles.load()} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    web = ROOT / "reactor" / "web"
    pages = [file for folder in ("templates", "static") for file in (web / folder).rglob("*.*")]
    assert len(pages) > 15
    assert {str(file.relative_to(ROOT)) for file in pages} <= names
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "tools"))]


def test_an_installed_wheel_finds_its_sql(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    program = (
        "from reactor.db import sqlfiles\n"
        "print(sqlfiles.sql_dir())\n"
        "for file in sqlfiles.load(): print(file.name, file.checksum)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    )
    first, *rest = done.stdout.splitlines()
    assert first == str(tmp_path / "reactor" / "_sql")
    assert rest == [f"{file.name} {file.checksum}" for file in sqlfiles.load()]

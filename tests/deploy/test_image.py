"""The Dockerfile, what it is built of, and the Compose file that tries it."""

import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from reactor.cli.registry import COMMANDS
from reactor.cli.run import _LAST
from reactor.engine.drain import AFTERWARDS
from reactor.settings import Settings, variable
from tests.deploy.manifests import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
PINNED = (ROOT / "deploy" / "requirements.txt").read_text()
VARIABLES = {variable(name) for name in Settings.model_fields}


def test_what_the_image_installs_is_pinned_by_hash_and_fits_what_the_package_asks_for() -> None:
    versions = {}
    for name, version, rest in re.findall(
        r"^([a-z0-9-]+)==(\S+) \\\n((?:    --hash=.+\n?)+)", PINNED, re.MULTILINE
    ):
        versions[name] = Version(version)
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", rest)
    assert len(versions) == len(re.findall(r"^[a-z]", PINNED, re.MULTILINE)), "a line that is not pinned"
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for line in package["project"]["dependencies"]:
        asked = Requirement(line)
        assert versions[asked.name] in asked.specifier, f"renew deploy/requirements.txt: {asked}"
    (builder,) = re.findall(r"hatchling==(\S+)", DOCKERFILE)
    assert Version(builder) in Requirement(package["build-system"]["requires"][0]).specifier


def test_the_build_is_given_what_the_dockerfile_copies_and_no_more() -> None:
    copied = {
        path
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for path in line.split()[:-1]
    }
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied
    for path in copied:
        assert (ROOT / path).exists()


def test_the_images_settings_exist_and_its_health_check_asks_its_port() -> None:
    given = dict(re.findall(r"\b(REACTOR_\w+)=(\S+)", DOCKERFILE))
    assert set(given) <= VARIABLES
    assert f"EXPOSE {given['REACTOR_HTTP_PORT']}" in DOCKERFILE
    # Without a port that is set, a silent replica would be asked for in the database.
    assert 'CMD ["reactor", "health"]' in DOCKERFILE


COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
OURS = {name: one for name, one in COMPOSE["services"].items() if one.get("image") == "reactor"}


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_the_compose_file_names_what_exists(name: str) -> None:
    service = OURS[name]
    assert set(service["environment"]) <= VARIABLES
    assert service["command"][0] in {command.name for command in COMMANDS}
    assert (ROOT / "deploy" / service["build"] / "Dockerfile").resolve() == ROOT / "Dockerfile"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    for published in service.get("ports", ()):
        assert re.fullmatch(r"127\.0\.0\.1:\d+-\d+:8080", published)


def test_compose_leaves_a_drain_its_time() -> None:
    grace = float(OURS["reactor"]["stop_grace_period"].removesuffix("s"))
    assert grace >= Settings.model_fields["drain_seconds"].default + AFTERWARDS + _LAST + 2
    assert OURS["reactor"]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}

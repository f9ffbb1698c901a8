"""docs/settings.md lists every setting with its default and its values, and none that does not exist."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import SecretStr

from reactor.settings import Settings, variable

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
FIELDS = Settings.model_fields
#: Computed at the start; the page says how.
COMPUTED = {"replica": "host-pid-random", "log_format": "`console` on a terminal, else `json`"}
ROWS = {
    row[0]: row[1:]
    for row in re.findall(r"^\| `(REACTOR_\w+)` \| (.+?) \| (.+?) \| (.+) \|$", PAGE, re.MULTILINE)
}


def shown(default: Any) -> str:
    """A default as the page writes it."""
    match default:
        case None | ():
            return "none"
        case bool():
            return str(default).lower()
        case int() | float():
            return f"{default:g}" if isinstance(default, float) else str(default)
        case SecretStr():
            return f"`{default.get_secret_value()}`"
        case _:
            return f"`{default}`"


def limits(name: str, side: str) -> Any:
    return next((getattr(item, side) for item in FIELDS[name].metadata if hasattr(item, side)), None)


@pytest.mark.parametrize("name", FIELDS)
def test_a_setting_is_on_the_page_with_its_default_and_its_values(name):
    field = FIELDS[name]
    default, values, meaning = ROWS[variable(name)]
    if field.default_factory is None:
        assert default == shown(field.default)
    else:
        assert default == COMPUTED[name]
    assert meaning.strip()

    if limits(name, "ge") is not None:
        assert values == f"{limits(name, 'ge'):,} to {limits(name, 'le'):,}"
    choices = [choice for choice in get_args(field.annotation) if isinstance(choice, str)]
    if choices:
        assert re.findall(r"`(\w+)`", values) == choices


def test_the_page_names_no_setting_that_does_not_exist():
    known = {variable(name) for name in FIELDS}
    assert set(ROWS) == known
    assert set(re.findall(r"REACTOR_\w+", PAGE)) == known

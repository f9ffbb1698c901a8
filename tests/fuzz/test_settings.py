"""Any text in any variable: accepted, or refused in one line that names the variable and holds no secret."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reactor.errors import SettingError
from reactor.settings import Settings, load, variable
from tests.fuzz.conftest import examples
from tests.fuzz.strategies import sharp

_NAMES = [variable(name) for name in Settings.model_fields] + ["DATABASE_URL"]
_SECRET = "hunter2-very-secret"
#: What an environment can hold: bytes that are no UTF-8 arrive as halves of surrogate pairs.
_values = st.binary(max_size=60).map(
    lambda raw: raw.replace(b"\0", b"").decode("utf-8", "surrogateescape")
) | (
    sharp
    | st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=40)
    | st.sampled_from(
        ["", " ", "0", "-1", "1e400", "nan", "inf", "٣", "1_000", "9" * 5000, "true", "None", "{}", "[]"]
    )
)


pytestmark = pytest.mark.usefixtures("clean")


def loaded(environment: dict[str, str]) -> SettingError | None:
    """The refusal, if it was one; anything else that is raised is a defect."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            settings = load()
        except SettingError as error:
            return error
        assert _SECRET not in repr(settings) + str(settings)
        # What is read later, from the settings, may refuse as well.
        try:
            assert settings.dsns
        except SettingError:
            pass
        assert settings.lease.total_seconds() > 0
        return None


def is_one_clear_line(error: SettingError) -> None:
    for text in (error.message, error.hint or ""):
        assert text.isprintable(), repr(text)
        assert len(text) < 400, text
        assert _SECRET not in text


@examples(400)
@given(name=st.sampled_from(_NAMES), value=_values)
def test_a_value_is_taken_or_refused_in_one_line_that_names_its_variable(name: str, value: str) -> None:
    error = loaded({name: value})
    if error is not None:
        is_one_clear_line(error)
        assert name.removeprefix("REACTOR_") in error.message


@examples(200)
@given(
    name=st.sampled_from(
        [
            "REACTOR_DATABASE_URL",
            "REACTOR_LISTEN_URL",
            "REACTOR_DATABASES",
            "REACTOR_EMAIL_URL",
            "DATABASE_URL",
        ]
    ),
    before=st.sampled_from(
        ["", "postgresql://", "postgres:/", "smtp://", "resend://", "http://", "user=a ", "//"]
    )
    | sharp,
    between=st.sampled_from(["user:", "user:[", "u:p@", ":", "", "user:%zz"]),
    after=st.sampled_from(
        ["@host/db", "@[::1/db", "@host:port/db", "@host:99999/db", "@", "", ",,", "]@h", " @h/ "]
    )
    | sharp,
)
@example(name="REACTOR_EMAIL_URL", before="smtp://", between="user:", after="@host:" + _SECRET)
def test_a_secret_in_a_broken_url_is_never_shown(name: str, before: str, between: str, after: str) -> None:
    error = loaded({name: f"{before}{between}{_SECRET}{after}".replace("\0", "")})
    if error is not None:
        is_one_clear_line(error)


@examples(60)
@given(
    raw=st.binary(max_size=200)
    | st.sampled_from([b"REACTOR_CONCURRENCY=\xff", b"=\n\n='", b"\xff\xfe", b"REACTOR_POOL_SIZE='x\ny'"])
)
def test_a_file_of_any_bytes_is_read_or_refused(raw: bytes) -> None:
    with open(".env", "wb") as file:  # noqa: PTH123
        file.write(raw)
    error = loaded({})
    if error is not None:
        is_one_clear_line(error)


@examples(60)
@given(name=st.text(st.characters(codec="ascii", exclude_characters="=\0"), max_size=30), value=_values)
def test_a_variable_that_is_none_of_ours_never_breaks_the_start(name: str, value: str) -> None:
    error = loaded({f"REACTOR_{name}": value})
    if error is not None:
        is_one_clear_line(error)

"""Templates: tones, a tenant's own words, and what must not be in them."""

import pytest

from reactor.automation.templates import (
    DEFAULTS,
    Letter,
    TemplateSource,
    Tone,
    choose,
    problem_of,
    render,
    tone_for,
)

ADA = Letter("Ada", "Lovelace", "Owner", "Widgets & Co", "Acme", "Acme", 15)


@pytest.mark.parametrize(
    ("days", "tone"),
    [
        (0, Tone.FRIENDLY),
        (13, Tone.FRIENDLY),
        (14, Tone.DIRECT),
        (20, Tone.DIRECT),
        (21, Tone.URGENT),
        (900, Tone.URGENT),
    ],
)
def test_the_tone_follows_the_days(days, tone):
    assert tone_for(days) is tone
    assert choose({}, days) == (tone, DEFAULTS[tone])


@pytest.mark.parametrize("tone", list(Tone))
def test_our_own_texts_are_complete_even_when_nothing_is_known(tone):
    nobody = Letter("", "", "", "", "Acme", "Acme", 30)
    for letter in (ADA, nobody):
        rendered = render(DEFAULTS[tone], letter)
        assert rendered.subject
        assert "Acme" in rendered.text
        assert "{" not in rendered.subject + rendered.text
        assert "  " not in rendered.subject


def test_a_tenants_words_replace_one_tone_only():
    own = TemplateSource(subject="Hi {{ first_name|upper }}", text="x")
    assert choose({Tone.URGENT: own}, 30) == (Tone.URGENT, own)
    assert choose({Tone.URGENT: own}, 3) == (Tone.FRIENDLY, DEFAULTS[Tone.FRIENDLY])
    assert render(own, ADA).subject == "Hi ADA"


def test_html_is_escaped_and_text_is_not():
    source = TemplateSource(subject="x", text="{{ company_name }}", html="<b>{{ company_name }}</b>")
    rendered = render(source, ADA)
    assert rendered.text == "Widgets & Co"
    assert rendered.html == "<b>Widgets &amp; Co</b>"


def test_a_subject_stays_on_one_line():
    assert render(TemplateSource(subject="a\nb {{ first_name }}\r\n", text="x"), ADA).subject == "a b Ada"


@pytest.mark.parametrize(
    "source",
    [
        "{{ first_name",
        "{% if %}",
        "{% for i in range(10) %}{{ i }}{% endfor %}",
        "{{ range(10) }}",
        "{{ first_name.upper() }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ first_name['x'] }}",
        "{{ 'a' * 1000000000 }}",
        "{{ 2 ** 100000 }}",
        "{% set x = 1 %}",
        "{% macro m() %}{% endmacro %}",
        "{% include 'x' %}",
        "{{ config }}",
        "{{ first_name|center(100000) }}",
        "{{ first_name|attr('x') }}",
        "{{ self }}",
        "{{ lipsum() }}",
        "{{ days_overdue ~ 'x' }}",
        "{{ days_overdue < 'x' }}",
    ],
)
def test_what_a_letter_does_not_need_is_refused_with_a_reason(source):
    problem = problem_of(source)
    assert problem
    with pytest.raises(ValueError, match="subject"):
        TemplateSource(subject=source, text="x")


@pytest.mark.parametrize(
    "source",
    [
        "plain",
        "{{ days_overdue }} days",
        "{% if days_overdue > 3 and first_name %}a{% elif not title %}b{% else %}c{% endif %}",
        "{{ first_name if first_name else 'friend' }}",
        "{{ title|default('x')|trim|title }}",
        "{# a note #}",
    ],
)
def test_what_a_letter_needs_is_allowed(source):
    assert problem_of(source) is None


@pytest.mark.parametrize(
    "source",
    [
        "{% if title %}" * 101 + "a" + "{% endif %}" * 101,
        "{{ " + "(" * 2000 + "title" + ")" * 2000 + " }}",
        "{% if " + "not " * 4000 + "title %}a{% endif %}",
        "{{ " + "title if title else " * 900 + "title }}",
        "{{ title" + "|lower" * 2000 + " }}",
        "{{ title " + "or title " * 2000 + "}}",
        "{{ " + "-" * 3000 + "days_overdue }}",
        "{{ " + "1" * 5000 + " }}",
    ],
)
def test_a_template_that_would_break_the_reader_is_refused_in_words(source):
    assert problem_of(source)


def test_thirty_levels_are_enough_for_any_letter_and_allowed():
    for source in (
        "{% if title %}" * 30 + "a" + "{% endif %}" * 30,
        "{{ " + "(" * 30 + "title" + ")" * 30 + " }}",
        "{% if title %}a{% endif %}" * 200,
        "{% if title %}" + "{% elif title %}b" * 200 + "{% endif %}",
    ):
        assert problem_of(source) is None

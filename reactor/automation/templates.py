"""The texts of follow-up emails: three tones by days overdue, which a tenant can replace.

A tenant's template is input from outside. It runs in Jinja's sandbox, and only
what a letter needs is allowed in it: variables, conditions and a few filters.
Without loops, calls and arithmetic a template can neither hang a replica nor
grow without bound, which the sandbox by itself does not promise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import lru_cache

from jinja2 import StrictUndefined, Template, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, Field, field_validator

MAX_SOURCE = 20_000
# Letters need three or four levels; Jinja's parser and Python's compiler have limits of their own, which
# depend on who calls them and how deep in the stack.
MAX_NESTING = 30


class Tone(StrEnum):
    FRIENDLY = "friendly"  # under 14 days overdue
    DIRECT = "direct"  # 14 to 20
    URGENT = "urgent"  # 21 and more


def tone_for(days_overdue: int) -> Tone:
    if days_overdue < 14:
        return Tone.FRIENDLY
    return Tone.DIRECT if days_overdue < 21 else Tone.URGENT


@dataclass(frozen=True, slots=True)
class Letter:
    """The variables that a template may use. All are texts but days_overdue; unknown ones are ''."""

    first_name: str
    last_name: str
    title: str
    company_name: str
    tenant_name: str
    sender_name: str
    days_overdue: int


@dataclass(frozen=True, slots=True)
class Rendered:
    subject: str
    text: str
    html: str | None


class TemplateSource(BaseModel):
    """One tone's texts. The text part is always there; html is optional and escaped."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject: str = Field(min_length=1, max_length=500)
    text: str = Field(min_length=1, max_length=MAX_SOURCE)
    html: str | None = Field(default=None, max_length=MAX_SOURCE)

    @field_validator("subject", "text", "html")
    @classmethod
    def _must_render(cls, value: str | None) -> str | None:
        problem = None if value is None else problem_of(value)
        if problem is not None:
            raise ValueError(problem)
        return value


DEFAULTS: Mapping[Tone, TemplateSource]

_SAMPLE = Letter("Ada", "Example", "Owner", "Example Ltd", "Your company", "Your company", 10)
_ALLOWED_FILTERS = frozenset({"capitalize", "d", "default", "e", "escape", "lower", "title", "trim", "upper"})
_ALLOWED_NODES = (
    nodes.And,
    nodes.Compare,
    nodes.CondExpr,
    nodes.Const,
    nodes.Filter,
    nodes.If,
    nodes.Name,
    nodes.Not,
    nodes.Operand,
    nodes.Or,
    nodes.Output,
    nodes.Template,
    nodes.TemplateData,
)


def _environment(*, html: bool) -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(
        autoescape=html, undefined=StrictUndefined, keep_trailing_newline=True
    )


@lru_cache(maxsize=512)
def _compiled(source: str, html: bool) -> Template:
    return _environment(html=html).from_string(source)


def problem_of(source: str) -> str | None:
    """What is wrong with a template, or None: its syntax, what it uses, and whether it renders.

    Never raises: Jinja hands a template on to Python's compiler, and both fail in many ways.
    """
    too_deep = f"is nested deeper than {MAX_NESTING} levels"
    try:
        if _nesting(source) > MAX_NESTING:
            return too_deep
        tree = _environment(html=False).parse(source)
    except Exception as error:
        return f"cannot be read: {_reason(error)}"
    if _height(tree) > 2 * MAX_NESTING:  # filters and comparisons in a row make a tree without brackets
        return too_deep
    for node in tree.find_all(nodes.Node):
        if not isinstance(node, _ALLOWED_NODES):
            what = type(node).__name__.lower()
            return f"line {node.lineno}: {what} is not allowed; variables, if and simple filters are"
        if isinstance(node, nodes.Filter) and node.name not in _ALLOWED_FILTERS:
            return (
                f"line {node.lineno}: filter {node.name} is not one of {', '.join(sorted(_ALLOWED_FILTERS))}"
            )
        if isinstance(node, nodes.Name) and node.name not in asdict(_SAMPLE):
            return f"line {node.lineno}: {node.name} is not one of {', '.join(asdict(_SAMPLE))}"
    try:
        _compiled(source, False).render(asdict(_SAMPLE))
    except Exception as error:
        return f"cannot be rendered: {_reason(error)}"
    return None


def _reason(error: Exception) -> str:
    """Of Jinja's own errors the text; others speak of its parser, so their kind is said too."""
    return str(error) if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"


def _nesting(source: str) -> int:
    """How deep parentheses, conditions and ``not`` are nested, from the words alone."""
    depth = deepest = nots = choices = 0
    in_block = opening = False
    for _, kind, word in _environment(html=False).lex(source):
        match kind, word:
            case "block_begin", _:
                in_block = opening = True
                continue
            case (("block_end" | "variable_end"), _):
                in_block, choices = False, 0
            case "whitespace", _:
                continue
            case "operator", "(" | "[" | "{":
                depth += 1
            case "operator", ")" | "]" | "}":
                depth -= 1
            case "name", "if" if in_block and opening:
                depth += 1
            case "name", "endif" if in_block and opening:
                depth -= 1
            case "name", "if":  # x if a else y if b else z
                choices += 1
            case _:
                pass
        opening = False
        nots = nots + 1 if (kind, word) == ("name", "not") else 0
        deepest = max(deepest, depth + nots + choices)
    return deepest


def _height(tree: nodes.Template) -> int:
    """Of the syntax tree, without recursion."""
    height, level = 0, [*tree.iter_child_nodes()]
    while level:
        height += 1
        level = [child for node in level for child in node.iter_child_nodes()]
    return height


def render(source: TemplateSource, letter: Letter) -> Rendered:
    """The email's texts. Sources were validated, so this fails only for what validation cannot see."""
    variables = asdict(letter)
    return Rendered(
        subject=" ".join(_compiled(source.subject, False).render(variables).split()),
        text=_compiled(source.text, False).render(variables),
        html=None if source.html is None else _compiled(source.html, True).render(variables),
    )


def choose(overrides: Mapping[Tone, TemplateSource], days_overdue: int) -> tuple[Tone, TemplateSource]:
    """The tone for so many days, in the tenant's words when it has some, else in ours."""
    tone = tone_for(days_overdue)
    return tone, overrides.get(tone, DEFAULTS[tone])


_GREETING = "Hello{% if first_name %} {{ first_name }}{% endif %},\n\n"
_CLOSING = "\n\nKind regards,\n{{ sender_name }}\n"

DEFAULTS = {
    Tone.FRIENDLY: TemplateSource(
        subject="Checking in{% if company_name %} with {{ company_name }}{% endif %}",
        text=_GREETING
        + "it has been a little while since we last spoke, and I wanted to hear how things are going. "
        "If there is anything we can help with, an answer to this email reaches us." + _CLOSING,
    ),
    Tone.DIRECT: TemplateSource(
        subject="Could we talk this week?",
        text=_GREETING + "we have not been in touch for a while, and I would like to change that. "
        "Would you have fifteen minutes this week? Tell me a time that suits you." + _CLOSING,
    ),
    Tone.URGENT: TemplateSource(
        subject="We would like to hear from you{% if first_name %}, {{ first_name }}{% endif %}",
        text=_GREETING + "our last contact is now {{ days_overdue }} days past the date we had agreed on. "
        "Please let me know whether you still wish to work with us, and whom I should speak to." + _CLOSING,
    ),
}

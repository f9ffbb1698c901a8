"""What strangers write."""

from hypothesis import strategies as st

#: Any text that Python can hold, halves of surrogate pairs and NUL included.
any_text = st.text(st.characters(exclude_categories=()), max_size=40) | st.text(
    st.sampled_from("ab<&\"'{}%[]/\\;:@,.=\r\n\t\0\x1b\x85\u2028\u202e\ud800\udfff\ufeffé😀"), max_size=12
)
#: Text that PostgreSQL can hold.
sane_text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=40)
#: What breaks quoting, formats, terminals, headers and markup.
sharp = st.sampled_from(
    [
        "'; drop table reactor.events; --",
        '" or "1"="1',
        "$body$ $$ %s %I %% {0} {{ 7 * 7 }}",
        "[red]loud[/red] [/] [link=http://x]",
        "\x1b[31mred\x1b[0m\x1b]0;title\x07",
        "a\r\nBcc: everybody@example.com\r\n\r\nbody",
        "\u202egnp.exe\u2066\u200b",
        "x" * 300,
        "ü" * 40,
        "\\u0000 \\x00 \\'",
        "<script>alert(1)</script>",
        "\x85\u2028\u2029\x0b\x0c",
        "-n",
        " ",
    ]
)
words = sharp | sane_text
numbers = (
    st.integers()
    | st.integers(min_value=10**20, max_value=10**400)
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.sampled_from([2**63, -(2**63) - 1, 1e308, 5e-324])
)


def deep(depth: int) -> object:
    """A list in a list in a list."""
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


#: Anything that json.dumps can write, and some that it should not.
json_values = st.recursive(
    st.none() | st.booleans() | numbers | any_text | sharp,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text | sharp, inner, max_size=4),
    max_leaves=12,
) | st.just("long " * 50_000)
payloads = st.dictionaries(any_text | sharp, json_values, max_size=4) | json_values

"""Arguments of resolvers: what OmegaConf 2.3 makes of the same texts."""

import pytest

from athlos.connect.resolver_arguments import argument_value, closing, split_arguments


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", ""),
        ("''", ""),
        (" a b ", "a b"),
        ("'7'", "7"),
        ('"it\'s"', "it's"),
        (r"'it\'s'", "it's"),
        ("null", None),
        ("TRUE", True),
        ("false", False),
        ("3", 3),
        ("-1_000", -1000),
        ("007", "007"),
        ("1e3", 1000.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e-6", 1e-06),
        ("inf", float("inf")),
        ("http://a:1/b", "http://a:1/b"),
        ("[1, a, [b]]", [1, "a", ["b"]]),
        ("[]", []),
        ("{}", {}),
        ("{a: 1, 'b c': [x, null]}", {"a": 1, "b c": ["x", None]}),
        ("${x}", "<${x}>"),
        ("[${x}, 'a ${x}']", ["<${x}>", "<a ${x}>"]),
    ],
)
def test_a_text_stands_for_a_value(text, value):
    found = argument_value(text, lambda one: f"<{one}>")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        ("a,", ["a", ""]),
        ("a,[b, c],{d: e, f: g}", ["a", "[b, c]", "{d: e, f: g}"]),
        ("a,'b, c'", ["a", "'b, c'"]),
        ("a,${oc.env:B,c},d", ["a", "${oc.env:B,c}", "d"]),
        ("it's,b", ["it's", "b"]),
    ],
)
def test_commas_separate_but_not_within_quotes_and_brackets(text, parts):
    assert split_arguments(text) == parts


def test_the_closing_brace_is_that_of_the_same_depth():
    text = "${a:${b},{c: d}} e}"
    assert text[closing(text, 2) :] == "} e}"
    assert closing("${a", 2) == -1

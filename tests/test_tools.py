from __future__ import annotations

import enum
import json
import math
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from athlos import ConfigError, Environment, ToolError, tool


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    x: int
    y: int = 0
    tags: list[str] = field(default_factory=list)


class Box(msgspec.Struct):
    corner: Point
    label: str | None = None


class Node(msgspec.Struct):
    value: int
    next: Node | None = None


Positive = Annotated[int, msgspec.Meta(ge=1, le=10, description="one to ten")]


def tool_of(function: Any, **options: Any):
    """The tool that a method becomes."""
    made = tool(**options)(function) if options else tool(function)
    cls = type("Made", (Environment,), {function.__name__: made})
    (found,) = cls.tools.values()
    return found


def parameters(function: Any) -> dict[str, Any]:
    return tool_of(function).wire["function"]["parameters"]


def schema(hint: Any) -> dict[str, Any]:
    def f(self, x): ...

    f.__annotations__ = {"x": hint}
    return parameters(f)["properties"]["x"]


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (str, {"type": "string"}),
        (bool, {"type": "boolean"}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (dict[str, float], {"type": "object", "additionalProperties": {"type": "number"}}),
        (Literal["a", "b"], {"enum": ["a", "b"]}),
        (Colour, {"enum": ["blue", "red"]}),
        (str | None, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (Positive, {"type": "integer", "minimum": 1, "maximum": 10, "description": "one to ten"}),
    ],
)
def test_a_type_becomes_a_schema(hint, expected):
    assert schema(hint) == expected


def test_structs_and_dataclasses_are_spelled_out_in_place():
    def f(self, box: Box): ...

    found = parameters(f)
    assert "$ref" not in json.dumps(found)
    assert "$defs" not in json.dumps(found)
    assert "title" not in json.dumps(found)
    corner = found["properties"]["box"]["properties"]["corner"]
    assert corner["properties"]["x"] == {"type": "integer"}
    assert corner["required"] == ["x"]


def test_the_parameters_are_closed_and_say_what_is_required():
    def f(self, a: int, b: int = 3, c: str | None = None): ...

    found = parameters(f)
    assert found["type"] == "object"
    assert found["required"] == ["a"]
    assert found["additionalProperties"] is False
    assert found["properties"]["b"]["default"] == 3
    assert found["properties"]["c"]["default"] is None


def test_a_tool_without_parameters_has_an_empty_schema():
    def f(self): ...

    assert parameters(f) == {
        "type": "object", "properties": {}, "required": [], "additionalProperties": False,
    }  # fmt: skip


def test_a_parameter_may_be_called_title_or_default():
    def f(self, title: str, default: Point, description: str = "d"): ...

    found = parameters(f)["properties"]
    assert list(found) == ["title", "default", "description"]
    assert found["default"]["required"] == ["x"]


def test_the_docstring_describes_the_tool_and_its_parameters():
    def look(self, where: str, far: bool = False):
        """Look somewhere.

        It is dark.

        Args:
            where: A direction,
                or a thing.
            far (bool): With a telescope.
            gone: No parameter of that name.

        Returns:
            What is there.
        """

    wire = tool_of(look).wire["function"]
    assert wire["description"] == "Look somewhere.\n\nIt is dark."
    properties = wire["parameters"]["properties"]
    assert list(properties) == ["where", "far"]
    assert properties["where"]["description"].split() == ["A", "direction,", "or", "a", "thing."]
    assert properties["far"]["description"] == "With a telescope."


def test_a_tool_needs_no_docstring():
    def f(self): ...

    assert tool_of(f).wire["function"]["description"] == ""


def test_the_encoded_form_is_the_wire_form():
    def f(self, box: Box, colour: Colour = Colour.RED): ...

    made = tool_of(f)
    assert json.loads(made.encoded) == made.wire


@pytest.mark.parametrize(
    ("hint", "text", "value"),
    [
        (int, "5", 5),
        (int, '"5"', 5),
        (int, "5.0", 5),
        (float, "5", 5.0),
        (float, '"2.5"', 2.5),
        (bool, '"true"', True),
        (str, '"5"', "5"),
        (str, '"null"', "null"),
        (str | None, "null", None),
        (Colour, '"red"', Colour.RED),
        (list[int], '[1, "2"]', [1, 2]),
        (dict[int, int], '{"1": 2}', {1: 2}),
        (Point, '{"x": 1}', Point(1)),
        (Box, '{"corner": {"x": 1, "y": 2}}', Box(Point(1, 2))),
        (Literal[1, 2], "2", 2),
    ],
)
def test_arguments_are_converted(hint, text, value):
    def f(self, x): ...

    f.__annotations__ = {"x": hint}
    assert tool_of(f).parse(f'{{"x": {text}}}') == {"x": value}


def test_defaults_fill_in_and_are_never_shared():
    def f(self, a: list[int] = [], b: dict[str, int] = {"k": 1}, c: Colour = Colour.RED): ...  # noqa: B006

    made = tool_of(f)
    first = made.parse("{}")
    assert first == {"a": [], "b": {"k": 1}, "c": Colour.RED}
    first["a"].append(1)
    first["b"]["z"] = 2
    assert made.parse("") == {"a": [], "b": {"k": 1}, "c": Colour.RED}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", "missing required field 'n'"),
        ('{"n": "many"}', "'n': expected 'int', got 'str'"),
        ('{"n": 1.5}', "'n': expected 'int', got 'float'"),
        ('{"n": true}', "'n': expected 'int', got 'bool'"),
        ('{"n": null}', "'n': expected 'int', got 'null'"),
        ('{"n": 1, "m": 2}', "contains unknown field 'm'"),
        ('{"n": 1, "p": {"y": 2}}', "'p': missing required field 'x'"),
        ('{"n": 1, "p": {"x": "a"}}', "'p.x': expected 'int', got 'str'"),
        ('{"n": 1, "words": ["a", 2]}', "'words[1]': expected 'str', got 'int'"),
        ('{"n": 1, "counts": {"a": 1}}', "'key in counts': expected 'int', got 'str'"),
        ('{"n": 1, "colour": "green"}', "'colour': invalid enum value 'green'"),
        ('{"n": 1, "few": 11}', "'few': expected 'int' <= 10"),
        ("[1]", "expected 'object', got 'array'"),
        ("null", "expected 'object', got 'null'"),
        ('"text"', "expected 'object', got 'str'"),
        ("{'n': 1}", "not valid JSON"),
        ('{"n": 1', "not valid JSON"),
        ('{"n": 1} {"n": 2}', "not valid JSON"),
        ("n=1", "not valid JSON"),
    ],
)
def test_a_bad_argument_is_named_in_a_sentence_with_the_usage(text, expected):
    def move(
        self,
        n: int,
        p: Point | None = None,
        words: list[str] = [],  # noqa: B006
        counts: dict[int, int] = {},  # noqa: B006
        colour: Colour = Colour.RED,
        few: Positive = 1,
    ): ...

    with pytest.raises(ToolError) as raised:
        tool_of(move).parse(text)
    message = str(raised.value)
    assert expected in message
    assert "`" not in message
    assert "$" not in message
    assert "move(n: int, p: Point | None = None, words: list[str] = []" in message
    assert "colour: Colour = 'red'" in message


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"n": ' + "[" * 100_000,
        '{"x": ' * 50_000,
        '{"n": ' + "9" * 10_000 + "}",
        '{"n": "' + "x" * 1_000_000 + '"}',
        '{"' + "x" * 1_000_000 + '": 1}',
        '{"n": NaN}',
        '{"n": Infinity}',
        '{"s": "\ud800"}',
        '{"n": 1, "s": "\\ud800"}',
        "\ufeff{}",
        "\x00",
        "",
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_hostile_text_is_answered_in_a_few_words(text):
    def f(self, n: int, s: str = ""): ...

    with pytest.raises(ToolError) as raised:
        tool_of(f).parse(text)
    assert len(str(raised.value)) < 600


def test_of_a_key_that_is_there_twice_the_last_value_counts():
    def f(self, n: int): ...

    assert tool_of(f).parse('{"n": 1, "n": 2}') == {"n": 2}


@pytest.mark.parametrize("number", ['"nan"', '"inf"', '"-infinity"', "1e999"])
@pytest.mark.parametrize(
    ("hint", "form"),
    [
        (float, "{}"),
        (float | None, "{}"),
        (list[float], "[1, {}]"),
        (dict[str, list[float]], '{{"a": [{}]}}'),
    ],
)
def test_a_number_that_is_not_finite_never_reaches_a_tool(hint, form, number):
    def f(self, x): ...

    f.__annotations__ = {"x": hint}
    with pytest.raises(ToolError, match="'x"):
        tool_of(f).parse('{"x": ' + form.format(number) + "}")


class _Everything(Environment):
    @tool
    def f(
        self,
        i: int = 0,
        n: float = 0.0,
        s: str = "",
        b: bool = False,
        colour: Colour = Colour.RED,
        numbers: list[float] = [],  # noqa: B006
        table: dict[str, int] = {},  # noqa: B006
        box: Box | None = None,
    ): ...


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    st.text()
    | json_values.map(json.dumps)
    | st.dictionaries(
        st.sampled_from(["i", "n", "s", "b", "colour", "numbers", "table", "box"]), json_values
    ).map(json.dumps)
)
def test_any_text_becomes_arguments_or_one_readable_error(text):
    made = _Everything.tools["f"]
    try:
        found = made.parse(text)
    except ToolError as error:
        assert "Usage: f(i: int = 0" in str(error)
        return
    assert type(found["i"]) is int
    assert math.isfinite(found["n"])
    assert all(math.isfinite(number) for number in found["numbers"])
    assert isinstance(found["colour"], Colour)


def test_a_type_that_contains_itself_is_refused_with_the_tools_name():
    with pytest.raises(ConfigError, match=r"tool Chain\.follow: type Node contains itself"):

        class Chain(Environment):
            @tool
            def follow(self, node: Node): ...


def untyped(self, x): ...
def starred(self, *x: int): ...
def keyworded(self, **x: int): ...
def positional(self, x: int, /): ...
def unknown(self, x: Nowhere): ...  # noqa: F821
def missing(self, x: enum.Nothing): ...
def unsupported(self, x: int | list[int] | tuple[int]): ...


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (untyped, "parameter 'x' has no type"),
        (starred, r"\*x cannot be described"),
        (keyworded, r"x cannot be described"),
        (positional, "'x' is positional-only"),
        (unknown, "'Nowhere' is not defined"),
        (missing, "no attribute 'Nothing'"),
        (unsupported, "more than one array-like"),
    ],
)
def test_a_signature_that_says_too_little_is_refused_at_once(function, expected):
    with pytest.raises(ConfigError, match=expected) as raised:
        tool_of(function)
    assert raised.value.message.startswith(f"tool Made.{function.__name__}: ")


def test_two_tools_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="Twice has two tools named 'a'"):

        class Twice(Environment):
            @tool
            def a(self): ...

            @tool(name="a")
            def b(self): ...


def test_a_tool_is_a_plain_method():
    with pytest.raises(ConfigError, match=r"tool E\.f is a staticmethod"):

        class E(Environment):
            @staticmethod
            @tool
            def f(x: int): ...

    with pytest.raises(ConfigError, match="@tool marks a method"):

        class F(Environment):
            @tool  # type: ignore[type-var]
            @classmethod
            def f(cls, x: int): ...


def test_options_have_names():
    with pytest.raises(ConfigError, match=r"@tool marks a method, not 'search'") as raised:
        tool("search")  # type: ignore[call-overload]
    assert "@tool(name=...)" in raised.value.hint


def test_the_name_and_timeout_are_options():
    def f(self): ...

    made = tool_of(f, name="search", timeout=3)
    assert (made.name, made.method, made.timeout) == ("search", "f", 3)
    assert made.wire["function"]["name"] == "search"
    with pytest.raises(ToolError, match=r"search\(\)"):
        made.parse("x")


def test_a_tool_runs_under_the_attribute_it_stands_at():
    def helper(self, n: int): ...

    class E(Environment):
        double = tool(helper)

    assert E.tools["double"].method == "double"


class Base(Environment):
    @tool
    def first(self, n: int): ...

    @tool
    def second(self): ...


def test_tools_are_inherited_in_the_order_of_definition():
    class Child(Base):
        @tool
        def third(self): ...

    assert list(Child.tools) == ["first", "second", "third"]
    assert list(Base.tools) == ["first", "second"]


def test_a_subclass_overrides_a_tool():
    class Child(Base):
        @tool(name="renamed")
        def first(self, n: str): ...

    assert list(Child.tools) == ["renamed", "second"]
    assert Child.tools["renamed"].parse('{"n": "1"}') == {"n": "1"}


@pytest.mark.parametrize("value", [None, lambda self, n: n])
def test_a_subclass_takes_a_tool_away_with_what_is_none(value):
    child = type("Child", (Base,), {"first": value})
    assert list(child.tools) == ["second"]


def test_a_subclass_may_give_a_tool_back():
    class Without(Base):
        first = None

    class Again(Without):
        @tool
        def first(self, n: int): ...

    assert list(Without.tools) == ["second"]
    assert set(Again.tools) == {"first", "second"}


@pytest.mark.parametrize("name", ["done", "task", "config", "tools", "reply", "rng"])
def test_a_name_that_every_environment_uses_is_refused(name):
    def f(self): ...

    f.__name__ = name
    with pytest.raises(ConfigError, match=f"Made.{name} cannot be a tool"):
        tool_of(f)

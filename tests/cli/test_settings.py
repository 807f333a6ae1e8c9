"""Words of the command line, and YAML."""

from enum import Enum
from typing import Any, Literal

import msgspec
import pytest

from athlos.cli.dotted import env_settings, sampling_settings
from athlos.cli.yaml_text import read_yaml
from athlos.errors import ConfigError


class Colour(Enum):
    RED = "red"


class Config(msgspec.Struct):
    name: str = ""
    maybe: int | None = None
    size: int = 0
    share: float = 0.0
    on: bool = False
    mode: Literal["on", "off"] = "on"
    level: Literal[1, 2] = 1
    colour: Colour = Colour.RED
    words: list[str] = []
    table: dict[str, int] = {}
    anything: Any = None


@pytest.mark.parametrize(
    ("key", "word", "expected"),
    [
        *(("name", word, word) for word in ("no", "007", "1:30", "2024-01-02", "[a", "*x", "3")),
        ("maybe", "null", None),
        ("maybe", "3", 3),
        ("size", "12", 12),
        ("share", "1e-3", 0.001),
        ("on", "yes", True),
        ("on", "false", False),
        ("mode", "off", "off"),
        ("level", "2", 2),
        ("colour", "red", Colour.RED),
        ("words", "[a, b]", ["a", "b"]),
        ("table", "{a: 1}", {"a": 1}),
        ("anything", "[1]", [1]),
    ],
)
def test_words_become_what_a_setting_is(key, word, expected):
    read = env_settings({key: word}, Config)
    assert getattr(msgspec.convert(read, Config, strict=False), key) == expected


def test_words_of_sampling_are_yaml():
    words = {"top_k": "3", "stop": "[a, b]", "x": "", "flag": "true"}
    assert sampling_settings(words) == {"top_k": 3, "stop": ["a", "b"], "x": "", "flag": True}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1", r"\(line 1\)"),
        ("2024-13-45", "month"),
        ("[" * 5000, "nested too deeply"),
        ("1" * 5000, "is not valid YAML"),
        ("!!timestamp x", "is not valid YAML"),
        ("!!python/object:os.system x", "could not determine a constructor"),
        ("a: &x 1\nb: *x", "anchors and aliases"),
        ("*x", "anchors and aliases"),
        ("a: 1\nb: 2\n'a': 3", r"the key 'a' is there twice, first in line 1 \(line 3\)"),
        ("- {b: {c: 1, c: 1}}", r"the key 'c' is there twice, first in line 1 \(line 1\)"),
    ],
)
def test_yaml_that_is_refused(text, expected):
    with pytest.raises(ConfigError, match=expected) as caught:
        read_yaml(text, "run.yaml")
    assert "\n" not in caught.value.message


def test_a_mapping_may_replace_a_key_that_it_merges():
    assert read_yaml("<<: {a: 1, b: 2}\na: 3\n", "run.yaml") == {"a": 3, "b": 2}

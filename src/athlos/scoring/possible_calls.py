"""Tool calls, compared with those of which each argument may have one of several values.

Source of the rule: the checker of the Berkeley Function Calling Leaderboard (BFCL, package
``bfcl-eval``) for calls in Python's types. An answer is ``{name: {argument: [value, ...]}}``, where
the value ``""`` says that the argument may be left out. It is the same for the members of an object
that is such a value, or an item of a list that is one; what is within these has one value.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from athlos.scoring.calls import ToolUse, decode_arguments

__all__ = ["Answer", "first_choice", "possible_calls"]

Answer = Mapping[str, Mapping[str, Sequence[Any]]]
"""The name of a tool, and for each argument the values that it may have."""

_IGNORED = re.compile(r"[ ,./\-_*^]")


def possible_calls(
    answers: Sequence[Answer],
    made: Sequence[ToolUse],
    parameters: Mapping[str, Mapping[str, Any]],
) -> bool:
    """Whether the calls made are those expected, in any order, and no others.

    Each answer takes the first call left that it fits: the same name, all required arguments, those
    of the answer and no others, each with one of its values. Texts are compared without case,
    spaces and the characters ``,./-_*^``, and with one kind of quotation marks, but for names of
    variables, which are texts where something else is asked for.

    Args:
        answers: Those expected.
        made: The model's calls.
        parameters: By name of a tool, the JSON Schema of its arguments.
    """
    if len(answers) != len(made):
        return False
    left = [(use.name, decode_arguments(use.arguments)) for use in made]
    for answer in answers:
        ((name, allowed),) = answer.items()
        schema = parameters.get(name, {})
        for position, (called, given) in enumerate(left):
            if called == name and given is not None and _fits(given, allowed, schema):
                del left[position]
                break
        else:
            return False
    return True


def _fits(
    given: Mapping[str, Any], allowed: Mapping[str, Sequence[Any]], schema: Mapping[str, Any]
) -> bool:
    properties = schema.get("properties") or {}
    for name, value in given.items():
        kind = (properties.get(name) or {}).get("type", "string")
        if name not in allowed or (kind == "integer" and isinstance(value, float)):
            return False
        # a text for something else is the name of a variable, and to be written like that
        exact = kind != "string" and isinstance(value, str)
        # no value at all stands for an empty list
        if not any(value == one if exact else _same(value, one) for one in allowed[name] or [[]]):
            return False
    required = schema.get("required") or ()
    return all(
        name in given or (name not in required and "" in values) for name, values in allowed.items()
    )


def _object(given: Mapping[str, Any], allowed: Mapping[str, Sequence[Any]]) -> bool:
    return all(
        name in allowed and any(_equal(value, one) for one in allowed[name])
        for name, value in given.items()
    ) and all(name in given or "" in values for name, values in allowed.items())


def _same(given: Any, value: Any) -> bool:
    """Whether an argument is a value that it may have."""
    if isinstance(given, dict) and isinstance(value, dict):
        return _object(given, value)
    if isinstance(given, list) and isinstance(value, list):
        return len(given) == len(value) and all(
            _object(one, other)
            if isinstance(one, dict) and isinstance(other, dict)
            else _equal(one, other)
            for one, other in zip(given, value, strict=True)
        )
    return _equal(given, value)


def _equal(given: Any, value: Any) -> bool:
    if isinstance(given, str) and isinstance(value, str):
        return _plain(given) == _plain(value)
    return bool(given == value) and isinstance(given, bool) == isinstance(value, bool)


def _plain(text: str) -> str:
    return _IGNORED.sub("", text).lower().replace("'", '"')


def first_choice(answer: Answer, required: Sequence[str] = ()) -> ToolUse:
    """The call with the first value of each argument, without those that may be left out.

    Args:
        answer: With one name.
        required: Arguments that may not be left out.
    """
    ((name, allowed),) = answer.items()
    return ToolUse(name, _chosen(allowed, required))


def _chosen(allowed: Mapping[str, Sequence[Any]], required: Sequence[str]) -> dict[str, Any]:
    return {
        name: _plainly(_first(values) if values else [])
        for name, values in allowed.items()
        if name in required or "" not in values
    }


def _first(values: Sequence[Any]) -> Any:
    return next((value for value in values if value != ""), "")


def _plainly(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _first(values) for name, values in value.items() if "" not in values}
    return [_plainly(item) for item in value] if isinstance(value, list) else value

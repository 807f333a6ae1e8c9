"""Tools: a Python signature becomes a JSON Schema, and what a model wrote becomes arguments.

The schema comes from the type annotations, the descriptions from the docstring (Google style, or
any other that `docstring-parser` reads). Arguments are decoded, converted and validated in one
step before the tool runs; what is wrong with them is said in a sentence that the model can act on.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import math
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

import msgspec

from athlos.errors import ConfigError, ToolError

__all__ = ["Tool", "find_tools", "tool"]

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__athlos_tool__"
_LONGEST = 300


class _Options(msgspec.Struct, frozen=True):
    name: str | None
    timeout: float | None


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(*, name: str | None = None, timeout: float | None = None) -> Callable[[F], F]: ...
def tool(
    function: F | None = None, /, *, name: str | None = None, timeout: float | None = None
) -> F | Callable[[F], F]:
    """Offers a method of an environment to the model.

    Every parameter needs a type: scalars, `Literal`, enums, lists, dicts, `X | None`, dataclasses
    and msgspec Structs. What the method returns is the reply: text as it is, anything else as JSON.

    Args:
        function: The method, when used without parentheses.
        name: What the model calls it; the method's name by default.
        timeout: Seconds after which the model is told that the tool took too long.
    """

    def mark(function: F) -> F:
        if not callable(function) or isinstance(function, staticmethod):
            raise ConfigError(
                f"@tool marks a method, not {function!r:.100}",
                hint="Options have names: @tool(name=...), @tool(timeout=...).",
            )
        setattr(function, _MARK, _Options(name, timeout))
        return function

    return mark if function is None else mark(function)


class Tool:
    """A tool of an environment class.

    Attributes:
        name: What the model calls it.
        method: Name of the method that runs.
        timeout: Seconds, or None for no limit but the attempt's own.
        wire: The tool in the form that chat completions take.
        encoded: The same as JSON.
    """

    __slots__ = (
        "_decoder",
        "_has_floats",
        "_names",
        "_usage",
        "encoded",
        "method",
        "name",
        "timeout",
        "wire",
    )

    def __init__(self, function: Callable[..., Any], owner: str, method: str) -> None:
        options: _Options = getattr(function, _MARK)
        self.method = method
        self.name = options.name or method
        self.timeout = options.timeout
        where = f"tool {owner}.{method}"
        summary, about = _describe(function)
        arguments = _arguments_type(function, where)
        self._names = [f.name for f in msgspec.structs.fields(arguments)]
        self._usage = _usage(self.name, function)
        self._decoder = msgspec.json.Decoder(arguments, strict=False)
        parameters = _parameters(arguments, about, where)
        # only a float can be made of the text "nan"
        self._has_floats = b'"number"' in msgspec.json.encode(parameters)
        self.wire: dict[str, Any] = {
            "type": "function",
            "function": {
                "name": self.name,
                "description": summary,
                "parameters": parameters,
            },
        }
        self.encoded = msgspec.json.encode(self.wire)

    def parse(self, arguments: str) -> dict[str, Any]:
        """Turns the JSON text of a model into keyword arguments.

        Raises:
            ToolError: It is no JSON object, or does not fit the signature.
        """
        try:
            decoded = self._decoder.decode(arguments or "{}")
        except msgspec.ValidationError as error:
            raise ToolError(
                f"Invalid arguments for {self.name}: {_readable(error)}. Usage: {self._usage}"
            ) from None
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise ToolError(
                f"The arguments of {self.name} are not valid JSON ({error}). "
                f"Send one JSON object. Usage: {self._usage}"
            ) from None
        found = {name: getattr(decoded, name) for name in self._names}
        for name, value in found.items() if self._has_floats else ():
            if not _is_finite(value):  # JSON has no such number, but its text "nan" converts
                raise ToolError(
                    f"Invalid arguments for {self.name}: '{name}': expected a finite number. "
                    f"Usage: {self._usage}"
                )
        return found


def encode_tools(tools: Mapping[str, Tool]) -> msgspec.Raw:
    """A list of tools as it goes over the wire."""
    return msgspec.Raw(b"[" + b",".join(tool.encoded for tool in tools.values()) + b"]")


def find_tools(cls: type) -> dict[str, Tool]:
    """All tools of a class, inherited ones included, in the order of definition.

    Raises:
        ConfigError: A signature cannot be turned into a schema, or two tools share a name.
    """
    methods: dict[str, Callable[..., Any]] = {}
    for base in reversed(cls.__mro__):
        for attribute, value in vars(base).items():
            if isinstance(value, staticmethod | classmethod) and hasattr(value.__func__, _MARK):
                raise ConfigError(
                    f"tool {cls.__name__}.{attribute} is a {type(value).__name__}; it must be a "
                    "method, with `self`"
                )
            if callable(value) and hasattr(value, _MARK):
                methods[attribute] = value
            else:
                methods.pop(attribute, None)  # overridden by something that is no tool
    tools: dict[str, Tool] = {}
    for attribute, function in methods.items():
        made = Tool(function, cls.__name__, attribute)
        if made.name in tools:
            raise ConfigError(f"{cls.__name__} has two tools named {made.name!r}")
        tools[made.name] = made
    return tools


def _arguments_type(function: Callable[..., Any], where: str) -> type[msgspec.Struct]:
    """A Struct whose fields are the parameters of a method."""
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        raise ConfigError(f"{where}: a type in its signature is unknown: {error}") from error
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigError(f"{where}: *{parameter.name} cannot be described to a model")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise ConfigError(f"{where}: parameter {parameter.name!r} is positional-only")
        if parameter.name not in hints:
            raise ConfigError(
                f"{where}: parameter {parameter.name!r} has no type",
                hint=f"Write for example `{parameter.name}: str`.",
            )
        hint = hints[parameter.name]
        if parameter.default is parameter.empty:
            fields.append((parameter.name, hint))
        else:
            default = parameter.default
            if isinstance(default, list | dict | set):
                default = msgspec.field(default_factory=lambda value=default: value.copy())  # type: ignore[misc]
            fields.append((parameter.name, hint, default))
    try:
        made = msgspec.defstruct("Arguments", fields, kw_only=True, forbid_unknown_fields=True)
        msgspec.json.Decoder(made)  # says now, not at the first call, what it cannot handle
    except (TypeError, NameError) as error:
        raise ConfigError(f"{where}: {error}") from error
    return made


def _parameters(
    arguments: type[msgspec.Struct], about: dict[str, str], where: str
) -> dict[str, Any]:
    """The JSON Schema of the arguments, without references: many chat templates print it as is."""
    try:
        (schema,), definitions = msgspec.json.schema_components(
            [arguments], ref_template="#/$defs/{name}"
        )
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from error
    schema = _inline(schema, definitions, (), where)
    properties = schema.get("properties", {})
    for name, description in about.items():
        if name in properties:
            properties[name] = {**properties[name], "description": description}
    return {
        "type": "object",
        "properties": properties,
        "required": schema.get("required", []),
        "additionalProperties": False,
    }


def _inline(schema: Any, definitions: dict[str, Any], inside: tuple[str, ...], where: str) -> Any:
    if isinstance(schema, list):
        return [_inline(item, definitions, inside, where) for item in schema]
    if not isinstance(schema, dict):
        return schema
    reference = schema.get("$ref")
    if isinstance(reference, str):
        name = reference.removeprefix("#/$defs/")
        if name in inside:
            raise ConfigError(
                f"{where}: type {name} contains itself; a tool's arguments must be finite"
            )
        resolved = _inline(definitions[name], definitions, (*inside, name), where)
        return {**resolved, **{k: v for k, v in schema.items() if k != "$ref"}}
    return {
        key: _inline(value, definitions, inside, where)
        for key, value in schema.items()
        # a title repeats the type's name, which the model does not need
        if not (key == "title" and isinstance(value, str))
    }


def _describe(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """What the docstring says: of the tool, and of each parameter."""
    text = inspect.getdoc(function)
    if not text:
        return "", {}
    from docstring_parser import parse  # only environments with tools pay for it

    doc = parse(text)
    summary = "\n\n".join(part for part in (doc.short_description, doc.long_description) if part)
    return summary, {p.arg_name: p.description for p in doc.params if p.description}


def _usage(name: str, function: Callable[..., Any]) -> str:
    """The signature as a model may read it, without `self` and the return type."""
    parts: list[str] = []
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        hint, default = parameter.annotation, parameter.default
        part = (
            f"{parameter.name}: {hint if isinstance(hint, str) else inspect.formatannotation(hint)}"
        )
        if default is not parameter.empty:
            part += f" = {default.value if isinstance(default, enum.Enum) else default!r}"
        parts.append(part)
    return f"{name}({', '.join(parts)})"


def _readable(error: msgspec.ValidationError) -> str:
    """Msgspec's message with the path first and without its notation."""
    message, _, path = str(error).partition(" - at ")
    message = message.replace("`", "'")
    where = path.replace("`", "").replace("$.", "").replace("$", "")
    message = message[:1].lower() + message[1:]
    message = message.removeprefix("object ")[:_LONGEST]  # it may quote what the model wrote
    return f"'{where}': {message}" if where else message


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_finite, value))
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, msgspec.Struct):
        return all(_is_finite(getattr(value, name)) for name in value.__struct_fields__)
    if dataclasses.is_dataclass(value):
        return all(_is_finite(getattr(value, f.name)) for f in dataclasses.fields(value))
    return True

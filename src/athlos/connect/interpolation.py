"""`${...}` in configuration files: other values, and variables of the environment.

Source of the rules: OmegaConf's documentation of interpolation.
"""

from __future__ import annotations

import os
import re
from typing import Any

from msgspec import Struct

from athlos.connect.resolver_arguments import argument_value, closing, split_arguments
from athlos.errors import ConfigError

__all__ = ["interpolate"]

_DEEPEST = 60
_LONGEST = 200
_CALL = re.compile(r"\s*([A-Za-z_][\w.]*):")
_RESOLVERS = {"oc.env": (1, 2), "oc.select": (1, 2), "oc.decode": (1,)}
_NOWHERE = object()


def interpolate(tree: dict[str, Any], where: str) -> dict[str, Any]:
    """A copy of the tree with every interpolation replaced.

    Raises:
        ConfigError: Some lead nowhere, or in circles; all of them are named.
    """
    return _Interpolation(tree, where).all()


class _Interpolation:
    """Replaces `${...}`: other values of the tree, and variables of the environment."""

    def __init__(self, tree: dict[str, Any], where: str) -> None:
        self._tree = tree
        self._where = where
        self._wrong: list[str] = []

    def all(self) -> dict[str, Any]:
        """The tree with everything replaced."""
        made = self._value(self._tree, [], 0)
        if self._wrong:
            raise ConfigError(f"{self._where}: {'; '.join(self._wrong)}")
        assert isinstance(made, dict)
        return made

    def _value(self, value: Any, path: list[str], depth: int) -> Any:
        if isinstance(value, dict):
            return {key: self._value(one, [*path, str(key)], depth) for key, one in value.items()}
        if isinstance(value, list):
            return [self._value(one, [*path, str(n)], depth) for n, one in enumerate(value)]
        if isinstance(value, str) and "${" in value:
            return self._text(value, path, depth)
        return value

    def _text(self, text: str, path: list[str], depth: int) -> Any:
        """A text with interpolations; one that is nothing else keeps the other value's type."""
        pieces: list[Any] = []
        at = 0
        while (start := text.find("${", at)) >= 0:
            slashes = len(text[:start]) - len(text[:start].rstrip("\\"))
            if slashes % 2:
                pieces.append(text[at : start - 1] + "${")
                at = start + 2
                continue
            end = closing(text, start + 2)
            if end < 0:
                self._wrong.append(f"{'.'.join(path)}: {text[:_LONGEST]!r} has no closing brace")
                return text
            pieces.append(text[at:start])
            inner = text[start + 2 : end]
            pieces.append(_Found(self._one(inner, path, depth + 1)))
            at = end + 1
        pieces.append(text[at:])
        pieces = [piece for piece in pieces if piece != ""]
        if len(pieces) == 1 and isinstance(pieces[0], _Found):
            return pieces[0].value
        return "".join(str(p.value) if isinstance(p, _Found) else p for p in pieces)

    def _one(self, inner: str, path: list[str], depth: int) -> Any:
        if depth > _DEEPEST:
            self._wrong.append(f"{'.'.join(path)}: ${{{inner}}} goes round in circles")
            return None
        called = _CALL.match(inner)
        if called is not None:
            return self._call(called[1], split_arguments(inner[called.end() :]), path, depth)
        if "${" in inner:
            inner = str(self._text(inner, path, depth))
        return self._reference(inner.strip(), path, depth)

    def _call(self, name: str, arguments: list[str], path: list[str], depth: int) -> Any:
        """What a resolver returns."""
        where = ".".join(path)
        lengths = _RESOLVERS.get(name)
        if lengths is None:
            known = ", ".join(_RESOLVERS)
            self._wrong.append(f"{where}: the resolver {name!r} is not supported; {known} are")
            return None
        if len(arguments) not in lengths:
            self._wrong.append(f"{where}: {name} was given {len(arguments)} arguments")
            return None
        given = [
            argument_value(text, lambda one: self._text(one, path, depth)) for text in arguments
        ]
        first, default = given[0], given[1] if len(given) > 1 else None
        if name == "oc.decode":
            return argument_value(first, str) if isinstance(first, str) else first
        if name == "oc.select":
            found = self._find(str(first), path, depth)
            return default if found is _NOWHERE or found == "???" else found
        if str(first) in os.environ:
            return os.environ[str(first)]
        if len(given) == 1:
            self._wrong.append(f"{where}: the environment variable {first} is not set")
        return None if default is None else str(default)

    def _reference(self, name: str, path: list[str], depth: int) -> Any:
        found = self._find(name, path, depth)
        if found is _NOWHERE:
            self._wrong.append(f"{'.'.join(path)}: ${{{name}}} leads nowhere")
            return None
        return found

    def _find(self, name: str, path: list[str], depth: int) -> Any:
        """The value of that name."""
        keys = name
        base: list[str] = []
        if name.startswith("."):
            keys = name.lstrip(".")
            up = len(name) - len(keys)
            base = path[: len(path) - up] if up <= len(path) else []
        parts = [*base, *(part for part in re.split(r"[.\[\]]+", keys) if part)]
        value: Any = self._tree
        for part in parts:
            if isinstance(value, str) and "${" in value:
                value = self._text(value, path, depth)
            if isinstance(value, dict) and part in value:
                value = value[part]
            elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
                value = value[int(part)]
            else:
                return _NOWHERE
        return self._value(value, parts, depth)


class _Found(Struct):
    value: Any

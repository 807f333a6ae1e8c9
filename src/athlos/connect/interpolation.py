"""`${...}` in configuration files: other values, and variables of the environment.

Source of the rules: OmegaConf's documentation of interpolation.
"""

from __future__ import annotations

import os
import re
from typing import Any

from msgspec import Struct

from athlos.errors import ConfigError

__all__ = ["interpolate"]

_DEEPEST = 60
_LONGEST = 200


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
            end = _closing(text, start + 2)
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
        return "".join(_said(p.value) if isinstance(p, _Found) else p for p in pieces)

    def _one(self, inner: str, path: list[str], depth: int) -> Any:
        if depth > _DEEPEST:
            self._wrong.append(f"{'.'.join(path)}: ${{{inner}}} goes round in circles")
            return None
        if "${" in inner:
            inner = _said(self._text(inner, path, depth))
        name, colon, arguments = inner.partition(":")
        if colon:
            return self._resolver(name.strip(), arguments, path)
        return self._reference(inner.strip(), path, depth)

    def _resolver(self, name: str, arguments: str, path: list[str]) -> Any:
        where = ".".join(path)
        if name != "oc.env":
            self._wrong.append(f"{where}: the resolver {name!r} is not supported")
            return None
        variable, comma, default = (part.strip() for part in arguments.partition(","))
        if variable in os.environ:
            return os.environ[variable]
        if not comma:
            self._wrong.append(f"{where}: the environment variable {variable} is not set")
            return None
        return None if default == "null" else default.strip("'\"")

    def _reference(self, name: str, path: list[str], depth: int) -> Any:
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
                self._wrong.append(f"{'.'.join(path)}: ${{{name}}} leads nowhere")
                return None
        return self._value(value, parts, depth)


class _Found(Struct):
    value: Any


def _said(value: Any) -> str:
    return "" if value is None else str(value)


def _closing(text: str, start: int) -> int:
    """Where the brace is that closes the interpolation which begins before `start`; -1 if none."""
    depth = 1
    at = start
    while at < len(text):
        if text.startswith("${", at):
            depth += 1
            at += 1
        elif text[at] == "}":
            depth -= 1
            if not depth:
                return at
        at += 1
    return -1

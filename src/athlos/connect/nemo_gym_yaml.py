"""NeMo Gym's configuration files: includes, inheritance, interpolation, and what is still missing.

Source of the rules: the public repository NVIDIA-NeMo/Gym (its global configuration) and
OmegaConf's documentation of merging and interpolation. Neither is needed to read the files.
"""

from __future__ import annotations

import copy
import difflib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from athlos.connect.interpolation import interpolate
from athlos.connect.nemo_gym_servers import (
    MODELS,
    SERVER_TYPES,
    check_servers,
    follow_agents,
    servers_of,
)
from athlos.errors import ConfigError

__all__ = ["GymYaml", "find_file", "leaves", "load_gym_yaml", "masked"]

_MISSING = "???"
_INCLUDES = "config_paths"
_MOVE, _COPY, _DELETE = "_inherit_from", "_copy", "_delete_key"
_WHOLE = re.compile(r"\$\{(inherit_from|copy):([^}]*)\}")
_ROUNDS = 20
_SECRET = re.compile(r"(key|token|secret|password)$", re.IGNORECASE)

Reader = Callable[[str, str], Any]


class GymYaml(Struct):
    """A configuration, resolved.

    Attributes:
        name: The file, as messages call it.
        values: Everything, as the servers there would get it.
        written: The same before interpolation, which says where a value is from.
        files: That were read, in the order in which they were merged; a later one wins.
        roots: Folders in which relative paths are looked up, in this order.
        notes: What a person should know.
    """

    name: str
    values: dict[str, Any]
    written: dict[str, Any]
    files: list[Path]
    roots: list[Path]
    notes: list[str] = field(default_factory=list)

    def servers(self, kind: str) -> dict[str, tuple[str, dict[str, Any]]]:
        """The servers of a type: by name, what implements each, and its settings."""
        return servers_of(self.values, kind)


def load_gym_yaml(
    path: Path,
    read: Reader,
    *,
    overrides: Mapping[str, Any] | None = None,
    search: Sequence[Path] = (),
    env_file: Path | None = None,
) -> GymYaml:
    """Reads a configuration and everything that it includes, and resolves it.

    What wins: `overrides`, then `env.yaml`, then the file, then what it includes (of several, the
    last one).

    Args:
        path: The file.
        read: Parses YAML; takes the text and how to call it.
        overrides: By dotted name.
        search: Folders in which relative paths are looked up first.
        env_file: In the place of the `env.yaml` that is found.

    Raises:
        ConfigError: A file is not there or malformed, a directive or an interpolation leads
            nowhere, values are missing (all of them are named), or a server is malformed.
    """
    roots = _roots(path, search)
    notes: list[str] = []
    layers = _included(path, read, roots, notes)
    env = env_file or find_file("env.yaml", roots)
    if env is not None:
        layers.append((env, _read(env, read)))
    merged: dict[str, Any] = {}
    for _, layer in layers:
        merged = _merge(merged, layer)
    for name, value in (overrides or {}).items():
        merged = _merge(merged, _nested(name, value))
    merged.pop(_INCLUDES, None)
    written = _directives(merged)
    follow_agents(merged, written)
    missing = [name for name, value in leaves(written) if value == _MISSING]
    if missing:
        count = "1 value is" if len(missing) == 1 else f"{len(missing)} values are"
        raise ConfigError(
            f"{path}: {count} missing: {', '.join(missing)}",
            hint=f"--set {missing[0]}=VALUE gives one; env.yaml may hold them, too.",
        )
    _merge_dummies(written)
    values = interpolate(written, str(path))
    notes += check_servers(values, str(path))
    return GymYaml(str(path), values, written, [file for file, _ in layers], roots, notes)


def find_file(name: str, roots: Sequence[Path]) -> Path | None:
    """The first file of that name; absolute names are only looked up as they are."""
    given = Path(name).expanduser()
    for candidate in [given] if given.is_absolute() else [root / given for root in roots]:
        if candidate.is_file():
            return candidate
    return None


def leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names of all values that hold no others; empty lists and mappings are values."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from leaves(inner, f"{prefix}[{number}]")
    else:
        yield prefix, value


def masked(value: Any, key: str = "") -> Any:
    """A copy in which keys, tokens, secrets and passwords are stars."""
    if isinstance(value, dict):
        return {name: masked(inner, str(name)) for name, inner in value.items()}
    if isinstance(value, list):
        return [masked(inner, key) for inner in value]
    return "****" if isinstance(value, str) and value and _SECRET.search(key) else value


# -- files -----------------------------------------------------------------------------------------


def _roots(path: Path, search: Sequence[Path]) -> list[Path]:
    """Where relative paths are looked up: as there, and in the checkout that the file is in."""
    extra = [Path(one) for one in os.environ.get("NEMO_GYM_EXTRA_ROOTS", "").split(":") if one]
    checkout = [
        folder
        for folder in path.resolve().parents
        if any((folder / kind).is_dir() for kind in SERVER_TYPES)
    ]
    return list(dict.fromkeys([*search, *extra, Path(), *checkout[:1]]))


def _included(
    path: Path, read: Reader, roots: Sequence[Path], notes: list[str]
) -> list[tuple[Path, dict[str, Any]]]:
    """A file and all that it includes, in the order of merging: each behind what it includes.

    They are found level by level; a file that is named again is not read again.
    """
    found = [(path, _read(path, read))]
    known = {path.resolve()}
    children: list[list[int]] = [[]]
    for number, (file, value) in enumerate(found):  # grows meanwhile
        for name in _paths(value, file):
            inner = _located(name, roots, file)
            if inner.resolve() in known:
                notes.append(f"{inner} is included more than once; the first time counts")
                continue
            known.add(inner.resolve())
            children[number].append(len(found))
            children.append([])
            found.append((inner, _read(inner, read)))
    order: list[int] = []
    pending = [0]
    while pending:  # the reverse of: a file, then its last include with all of that one's
        number = pending.pop()
        order.append(number)
        pending += children[number]
    return [found[number] for number in reversed(order)]


def _read(path: Path, read: Reader) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error}") from error
    value = read(text, str(path))
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{path} must hold keys and values, not {type(value).__name__}")
    return value


def _paths(value: Mapping[str, Any], path: Path) -> list[str]:
    given = value.get(_INCLUDES) or []
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise ConfigError(f"{path}: {_INCLUDES} must be a list of paths")
    return given


def _located(name: str, roots: Sequence[Path], path: Path) -> Path:
    found = find_file(name, roots)
    if found is None:
        looked = ", ".join(str(root.resolve()) for root in roots)
        raise ConfigError(
            f"{path}: {_INCLUDES} names {name}, which is not there",
            hint=f"Looked in {looked}; --search-dir DIR adds a folder.",
        )
    return found


# -- merging and directives ------------------------------------------------------------------------


def _merge(below: Any, above: Any) -> Any:
    """Mappings key by key; anything else replaces, except `???`, which asks for a value."""
    if isinstance(below, dict) and isinstance(above, dict):
        merged = dict(below)
        for key, value in above.items():
            merged[key] = _merge(below[key], value) if key in below else copy.deepcopy(value)
        return merged
    return below if above == _MISSING else copy.deepcopy(above)


def _nested(name: str, value: Any) -> dict[str, Any]:
    for key in reversed(name.split(".")):
        value = {key: value}
    found: dict[str, Any] = value
    return found


def _directives(merged: dict[str, Any]) -> dict[str, Any]:
    """Carries out `_inherit_from`, `_copy`, `_delete_key` and their short forms."""
    tree = copy.deepcopy(merged)
    for _ in range(_ROUNDS):
        if not _Directives(tree, merged).walk(tree, ""):
            return tree
    raise ConfigError(
        f"{_MOVE} and {_COPY} go round in circles: "
        + ", ".join(name for name, _ in leaves(tree) if name.endswith((_MOVE, _COPY)))
    )


class _Directives:
    """One round over a tree; sources are read as they were before the first."""

    def __init__(self, tree: dict[str, Any], before: dict[str, Any]) -> None:
        self._tree = tree
        self._before = before

    def walk(self, holder: dict[str, Any], where: str) -> bool:
        """Whether anything was found."""
        found = False
        for key in list(holder):
            if key not in holder:  # moved away meanwhile
                continue
            name = f"{where}.{key}" if where else str(key)
            found |= self._one(holder, key, name)
        return found

    def _one(self, holder: dict[str, Any], key: str, name: str) -> bool:
        value = holder[key]
        found = False
        late: set[str] = set()
        if isinstance(value, dict):
            if _DELETE in value:
                late = {one.strip() for one in str(value.pop(_DELETE)).split(",")}
                for one in list(late & value.keys()):
                    del value[one]
                    late.discard(one)
                found = True
            found |= self.walk(value, name)
        elif isinstance(value, list):
            for number, inner in enumerate(value):
                if isinstance(inner, dict):
                    found |= self.walk(inner, f"{name}[{number}]")
        directive, path = _directive(value)
        if directive:
            source = self._source(path, name, directive)
            if directive == _MOVE:
                _drop(self._tree, path)
            rest = value if isinstance(value, dict) else {}
            holder[key] = _merge(source, rest) if rest or isinstance(value, dict) else source
            found = True
        if late and directive:  # of what is not inherited, only what is there is deleted
            target = holder[key]
            for one in late:
                if not isinstance(target, dict) or one not in target:
                    raise ConfigError(f"{name}.{_DELETE} names {one!r}, which is not there")
                del target[one]
        return found

    def _source(self, path: str, name: str, directive: str) -> Any:
        value: Any = self._before
        for part in path.split("."):
            if value == _MISSING:
                return _MISSING
            if not isinstance(value, dict) or part not in value:
                close = difflib.get_close_matches(part, value if isinstance(value, dict) else (), 1)
                raise ConfigError(
                    f"{name}: {directive} names {path!r}, and there is no {part!r}",
                    hint=f"Did you mean {close[0]!r}?" if close else "",
                )
            value = value[part]
        return copy.deepcopy(value)


def _directive(value: Any) -> tuple[str, str]:
    """The directive that a value is or begins with, and its path; two empty texts if none."""
    if isinstance(value, str) and (found := _WHOLE.fullmatch(value.strip())):
        return (_MOVE if found[1] == "inherit_from" else _COPY), found[2].strip()
    if isinstance(value, dict):
        for directive in (_MOVE, _COPY):
            if directive in value:
                return directive, str(value.pop(directive))
    return "", ""


def _drop(tree: dict[str, Any], path: str) -> None:
    *parents, last = path.split(".")
    holder: Any = tree
    for part in parents:
        holder = holder.get(part) if isinstance(holder, dict) else None
    if isinstance(holder, dict):
        holder.pop(last, None)


def _merge_dummies(tree: dict[str, Any]) -> None:
    """A model that stands beside a placeholder takes over what that has."""
    for value in tree.values():
        models = value.get(MODELS) if isinstance(value, dict) else None
        if isinstance(models, dict) and len(models) > 1 and "dummy_model" in models:
            dummy = models.pop("dummy_model")
            first = next(iter(models))
            models[first] = _merge(dummy, models[first])

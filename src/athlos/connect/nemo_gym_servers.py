"""The servers that a NeMo Gym configuration declares, in three levels: name, type, implementation.

Source of the rules: the public repository NVIDIA-NeMo/Gym (its global configuration).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from athlos.errors import ConfigError

__all__ = ["SERVER_TYPES", "check_servers", "follow_agents", "servers_of"]

RESOURCES, AGENTS, MODELS, ENVIRONMENTS = SERVER_TYPES = (
    "resources_servers",
    "responses_api_agents",
    "responses_api_models",
    "environment_servers",
)


def servers_of(values: Mapping[str, Any], kind: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """The servers of a type: by name, what implements each, and its settings."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for name, value in values.items():
        if isinstance(value, dict) and isinstance(value.get(kind), dict) and value[kind]:
            implementation, settings = next(iter(value[kind].items()))
            found[name] = (implementation, settings if isinstance(settings, dict) else {})
    return found


def follow_agents(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Lets environment servers name an agent as it is called since it was moved.

    Args:
        before: The configuration with its directives.
        after: The same when they have been carried out; it is changed.
    """
    agents = servers_of(after, AGENTS)
    moved: dict[str, list[str]] = {}
    for name, value in before.items():
        source = None
        if isinstance(value, dict):
            source = value.get("_inherit_from")
        elif isinstance(value, str) and value.startswith("${inherit_from:"):
            source = value.removeprefix("${inherit_from:").removesuffix("}").strip()
        if source in servers_of(before, AGENTS) and name in agents and source not in after:
            moved.setdefault(str(source), []).append(name)
    for _, settings in servers_of(after, ENVIRONMENTS).values():
        for key, reference in settings.items():
            if not isinstance(reference, dict):
                continue
            kind = reference.get("type", AGENTS if key == "agent_server" else None)
            targets = moved.get(str(reference.get("name")), [])
            if kind == AGENTS and len(targets) == 1:
                reference["name"] = targets[0]


def check_servers(values: Mapping[str, Any], where: str) -> list[str]:
    """What a person should know of the servers.

    Raises:
        ConfigError: One is malformed, or refers to one that is not there.
    """
    notes: list[str] = []
    wrong = [f"{name}: {why}" for name, why in _almost(values)]
    if wrong:
        said = f"{where}: not quite servers: {'; '.join(wrong)}"
        if values.get("error_on_almost_servers", True) is not False:
            raise ConfigError(said, hint="error_on_almost_servers: false ignores that.")
        notes.append(said)
    notes += [
        f"{name} is no server: it has no entrypoint"
        for kind in SERVER_TYPES
        for name, (_, settings) in servers_of(values, kind).items()
        if "entrypoint" not in settings
    ]
    complete = {
        kind: {
            name: settings
            for name, (_, settings) in servers_of(values, kind).items()
            if "entrypoint" in settings
        }
        for kind in SERVER_TYPES
    }
    for kind, servers in complete.items():
        for name, settings in servers.items():
            for key, value in settings.items():
                if isinstance(value, dict) and value.keys() == {"type", "name"}:
                    _check_reference(value, complete, f"{where}: {name}.{kind}: {key}")
    return notes


def _check_reference(
    reference: Mapping[str, Any], complete: Mapping[str, Mapping[str, Any]], where: str
) -> None:
    known, name = complete.get(str(reference["type"])), reference["name"]
    if known is None or name in known:
        return
    close = difflib.get_close_matches(str(name), known, 1)
    others = f"There are: {', '.join(known) or 'none'}"
    raise ConfigError(
        f"{where} refers to {name!r}, which is not among the {reference['type']}",
        hint=f"Did you mean {close[0]!r}?" if close else others,
    )


def _almost(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What has an entrypoint, as servers have, and is none."""
    for name, value in values.items():
        kinds = [kind for kind in SERVER_TYPES if isinstance(value, dict) and kind in value]
        inner = [value[kind] for kind in kinds if isinstance(value[kind], dict)]
        settings = [one for group in inner for one in group.values() if isinstance(one, dict)]
        if not any("entrypoint" in one for one in settings):
            continue
        if len(kinds) > 1:
            yield name, f"it is of several types, {' and '.join(kinds)}"
        elif len(inner[0]) != 1:
            yield name, f"{kinds[0]} must name one implementation"
        elif kinds[0] == RESOURCES and "domain" not in settings[0]:
            yield name, f"{kinds[0]}.{next(iter(inner[0]))} has no domain"

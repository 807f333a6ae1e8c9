"""What identifies a run: two collections may share a folder only if these are equal."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from msgspec import Struct, field

from athlos.errors import ConfigError

__all__ = ["EnvironmentSpec", "ModelSpec", "RoleSpec", "RunFile", "RunSpec"]

# These may differ when a run is resumed: they say where things are, not what they are.
_FREE = frozenset(
    {
        "environment.package",
        "environment.reference",
        "environment.tools",
        "model.base_url",
        "tasks_file",
    }
)
_GROWING = ("samples", "limit")


class EnvironmentSpec(Struct):
    """Which environment.

    Attributes:
        version: Its own or, if it states none, that of the package that brings it.
        digest: A hash of its code and data.
        package: Name and version of the installed package that brings it; None if it is not from
            one, or the run is older than this field.
        tools: What the model is offered, as on the wire; tasks may offer less.
    """

    reference: str
    name: str
    version: str
    digest: str
    config: dict[str, Any]
    pass_threshold: float = 1.0
    package: str | None = None
    tools: list[dict[str, Any]] = field(default_factory=list)


class ModelSpec(Struct):
    """Which model, where it was, and how its token ids were had."""

    name: str
    base_url: str
    tokens: dict[str, Any] = field(default_factory=dict)


class RoleSpec(ModelSpec):
    """Which model in a role, and how it samples."""

    sampling: dict[str, Any] = field(default_factory=dict)


class RunSpec(Struct, kw_only=True):
    """The resolved configuration of a run.

    Attributes:
        sampling: Every sampling parameter as it is sent.
        limit: Number of tasks; None for all.
        group_width: Attempts that are begun for a group of a training run, which takes tasks as
            often as it needs them; None if each task is taken once.
        tasks_file: File that the tasks came from; "" if they are the environment's own.
        tasks_digest: Hash of tasks that are not the environment's own.
        roles: Further models by role.
        sandbox: Provider, packages, image and limits of the sandboxes, if the environment asks for
            any.
    """

    environment: EnvironmentSpec
    model: ModelSpec
    agent: dict[str, Any]
    sampling: dict[str, Any] = field(default_factory=dict)
    split: str
    samples: int
    limit: int | None
    seed: int | None
    group_width: int | None = None
    tasks_file: str = ""
    tasks_digest: str = ""
    roles: dict[str, RoleSpec] = field(default_factory=dict)
    sandbox: dict[str, Any] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """A hash of what may not change, `samples` and `limit` aside."""
        kept = {k: v for k, v in _flat(self).items() if not (_is_free(k) or k in _GROWING)}
        encoded = msgspec.json.encode(kept, order="deterministic")
        return hashlib.blake2b(encoded, digest_size=8).hexdigest()

    def check_resumes(self, earlier: RunSpec, folder: str) -> None:
        """Checks that this configuration may go on where an earlier one stopped.

        `samples` and `limit` may grow: that asks for more of the same.

        Raises:
            ConfigError: It may not; every field that differs is named.
        """
        before, now = _flat(earlier), _flat(self)
        differing = [
            f"{key} was {_show(before.get(key))}, is now {_show(now.get(key))}"
            for key in sorted({*before, *now} - set(_GROWING))
            if not _is_free(key) and before.get(key) != now.get(key)
        ]
        for key in _GROWING:
            was, wanted = before.get(key), now.get(key)
            if wanted is not None and (was is None or wanted < was):
                differing.append(f"{key} was {_show(was)}, is now {_show(wanted)} (it may grow)")
        if differing:
            raise ConfigError(
                f"{folder} holds a run with another configuration: {'; '.join(differing)}",
                hint="Use the same settings to resume it, or another --out for a new run.",
            )


class RunFile(Struct, kw_only=True):
    """The content of run.json: the configuration, and what it was run with.

    Attributes:
        tasks: How many tasks `spec.limit` comes to; None until all of them are on the disk.
    """

    athlos: str
    created: str
    fingerprint: str
    python: str
    platform: str
    git_commit: str | None
    spec: RunSpec
    tasks: int | None = None


def _is_free(key: str) -> bool:
    return key in _FREE or (key.startswith("roles.") and key.endswith(".base_url"))


def _flat(spec: Any, prefix: str = "") -> dict[str, Any]:
    """Nested fields under dotted names; what is empty or not set has none."""
    found: dict[str, Any] = {}
    if not isinstance(spec, dict):  # as JSON gives it back, where a tuple is a list
        spec = msgspec.json.decode(msgspec.json.encode(spec))
    for key, value in spec.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        elif value is not None:
            found[f"{prefix}{key}"] = value
    return found


def _show(value: Any) -> str:
    return "not set" if value is None else msgspec.json.encode(value).decode()

"""What sandboxes an environment asks for."""

from __future__ import annotations

from typing import Any

import msgspec

from athlos.errors import ConfigError
from athlos.sandbox.limits import Limits

__all__ = ["SandboxSpec", "asked_for"]


class SandboxSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What sandboxes an environment asks for.

    Attributes:
        limits: What each program may use.
        packages: Distributions of this Python's environment that programs may import; only the
            provider 'bubblewrap' has them.
        if_installed: The same, for those of them that are installed; containers have those of their
            image.
        image: Of containers; the other providers have none.
    """

    limits: Limits = Limits()
    packages: tuple[str, ...] = ()
    if_installed: tuple[str, ...] = ()
    image: str = ""


def asked_for(environment: type[Any], config: Any) -> SandboxSpec | None:
    """What a class says in its `sandbox`; None if it needs none.

    Args:
        environment: `sandbox` is True, `Limits`, a `SandboxSpec`, or a classmethod that makes one
            of these from the settings.
        config: The settings.

    Raises:
        ConfigError: It is something else.
    """
    declared = environment.sandbox
    if callable(declared):
        declared = declared(config)
    if not declared:
        return None
    if declared is True:
        return SandboxSpec()
    if isinstance(declared, Limits):
        return SandboxSpec(limits=declared)
    if isinstance(declared, SandboxSpec):
        return declared
    raise ConfigError(
        f"{environment.__name__}.sandbox is {declared!r:.100}",
        hint="Write `sandbox = True`, `sandbox = Limits(...)` or `sandbox = SandboxSpec(...)`.",
    )

"""Which provider makes a sandbox, and a sandbox that closes itself."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from athlos.errors import ConfigError
from athlos.sandbox.bubblewrap import Bubblewrap
from athlos.sandbox.container import IMAGE, RUNTIMES, Container
from athlos.sandbox.limits import Limits
from athlos.sandbox.packages import is_installed
from athlos.sandbox.process import Provider
from athlos.sandbox.sandbox import Sandbox
from athlos.sandbox.unisolated import Subprocess

__all__ = ["PROVIDERS", "find_provider", "open_sandbox"]

PROVIDERS = ("auto", "bubblewrap", "podman", "docker", "container", "subprocess")


def find_provider(
    provider: str | Provider = "auto",
    packages: Sequence[str] = (),
    image: str = "",
    if_installed: Sequence[str] = (),
) -> Provider:
    """A provider by its name, on this machine; the others as in `SandboxSpec`.

    "auto" is bubblewrap or, where it is not installed, a container runtime; never 'subprocess',
    which does not isolate.

    Raises:
        ConfigError: There is none of this name, or none on this machine.
    """
    if not isinstance(provider, str):
        return provider
    if provider == "auto":
        if shutil.which("bwrap"):
            provider = "bubblewrap"
        elif any(map(shutil.which, RUNTIMES)):
            provider = "container"
        else:
            raise ConfigError(
                "there is no sandbox on this machine: neither bubblewrap (bwrap), podman nor docker"
                " is installed",
                hint="Install bubblewrap: apt install bubblewrap (or dnf, pacman, apk add"
                " bubblewrap).",
            )
    if provider == "bubblewrap":
        _installed(provider, ("bwrap",))
        return Bubblewrap(tuple(dict.fromkeys((*packages, *filter(is_installed, if_installed)))))
    if packages and provider in PROVIDERS:
        raise ConfigError(
            f"the sandbox provider {provider!r} takes no packages",
            hint="Use an image that has them (provider 'container'), or 'bubblewrap'.",
        )
    if provider in ("container", *RUNTIMES):
        runtime = "" if provider == "container" else provider
        _installed(provider, (runtime,) if runtime else RUNTIMES)
        return Container(image or IMAGE, runtime)
    if provider == "subprocess":
        return Subprocess()
    raise ConfigError(
        f"there is no sandbox provider {provider!r}", hint=f"There are {', '.join(PROVIDERS)}."
    )


def _installed(provider: str, commands: Sequence[str]) -> None:
    if not any(map(shutil.which, commands)):
        wanted = " or ".join(commands)
        raise ConfigError(
            f"the sandbox provider {provider!r} needs {wanted}, which is not installed",
            hint="Install bubblewrap (apt install bubblewrap; or dnf, pacman, apk add), which is "
            "the default, or choose another provider.",
        )


@asynccontextmanager
async def open_sandbox(
    provider: str | Provider = "auto",
    *,
    limits: Limits | None = None,
    packages: Sequence[str] = (),
) -> AsyncIterator[Sandbox]:
    """A sandbox for as long as the block lasts.

        async with open_sandbox() as sandbox:
            result = await sandbox.exec("echo hello")

    Args:
        provider: "auto", "bubblewrap", "podman", "docker", "container" (whichever of these two is
            there), "subprocess", or one with its settings.
        limits: What each program may use.
        packages: Distributions of this environment that programs may import (bubblewrap).

    Raises:
        ConfigError: The provider cannot work here; the hint says what to do.
        SandboxError: The sandbox failed.
    """
    sandbox = await Sandbox.start(find_provider(provider, packages), limits or Limits())
    try:
        yield sandbox
    finally:
        await sandbox.close()

"""What a container image says of itself: where its programs start, and with which variables."""

from __future__ import annotations

import asyncio
import os
import shutil

import msgspec
from msgspec import Struct, field

from athlos.errors import ConfigError, SandboxError
from athlos.sandbox.container import RUNTIMES
from athlos.timeouts import time_limit

__all__ = ["Image", "inspect"]

_SECONDS = 60.0
# What a runtime needs to find its server and its images; nothing else of ours is its business.
_PASSED = ("PATH", "HOME", "XDG_RUNTIME_DIR", "DOCKER_HOST", "DOCKER_CONTEXT", "CONTAINER_HOST")


class Image(Struct):
    """An image's configuration."""

    workdir: str = field(default="/", name="WorkingDir")
    variables: list[str] | None = field(default=None, name="Env")

    @property
    def env(self) -> dict[str, str]:
        """Its environment variables."""
        pairs = (variable.partition("=") for variable in self.variables or ())
        return {name: value for name, _, value in pairs if name}


async def inspect(image: str, runtime: str, context: str) -> Image:
    """Asks the container runtime for an image of this machine.

    Args:
        image: Its name.
        runtime: "podman" or "docker"; "" is the first that is installed.
        context: The folder that it can be built from, for the hint.

    Raises:
        ConfigError: There is no such image, or no such runtime.
        SandboxError: The runtime does not answer.
    """
    wanted = (runtime,) if runtime else RUNTIMES
    command = next((path for path in map(shutil.which, wanted) if path), None)
    if command is None:
        raise ConfigError(f"the sandbox provider 'container' needs {' or '.join(wanted)}")
    argv = [command, "image", "inspect", "--format", "{{json .Config}}", "--", image]
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={name: os.environ[name] for name in _PASSED if name in os.environ},
    )
    try:
        with time_limit(_SECONDS):
            said, errors = await process.communicate()
    except TimeoutError:
        raise SandboxError(f"{command} did not answer within {_SECONDS:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise ConfigError(
            f"there is no image {image!r} on this machine: {errors.decode(errors='replace')[:300]}",
            hint=f"Build it: {wanted[0]} build -t {image} {context}",
        )
    return msgspec.json.decode(said, type=Image)

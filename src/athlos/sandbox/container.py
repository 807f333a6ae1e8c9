"""Sandboxes by a container runtime's command line: podman or docker.

One container is one sandbox. Its process 1 is the guest, in the Python of the image, which connects
to a socket in a folder that is shared with the container. So the runtime must be on this machine.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from athlos.errors import ConfigError, SandboxError
from athlos.sandbox import seccomp
from athlos.sandbox.leftovers import new_folder, owner, remove
from athlos.sandbox.limits import Limits
from athlos.sandbox.process import BOOT, Launch

__all__ = ["IMAGE", "RUNTIMES", "Container", "run_command"]

RUNTIMES = ("podman", "docker")
IMAGE = "python:3.12-slim"
WORK = "/work"
_USER = "1000:1000"
_SHARED = "/run/athlos"
_OURS = 128 << 20  # memory of the guest, beyond the limit of programs
_OUR_PROCESSES = 32
# What a runtime's command line needs to find its server and its images.
_PASSED = ("PATH", "HOME", "XDG_RUNTIME_DIR", "DOCKER_HOST", "DOCKER_CONTEXT", "CONTAINER_HOST")
_ENV = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": WORK,
    "TMPDIR": "/tmp",  # noqa: S108 - of the container
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
}


class Container:
    """Sandboxes by podman or docker.

    Args:
        image: Has a `python3` of 3.9 or newer, and is on this machine.
        runtime: The command; "" is the first of podman and docker that is installed.
        folders: Names of empty folders below `/` that programs may write into. If there are any,
            they are the container's root, without capabilities, and may change what root owns: for
            images that are made for one task.
    """

    name = "container"

    def __init__(self, image: str = IMAGE, runtime: str = "", folders: Sequence[str] = ()) -> None:
        self.image, self._runtime, self._folders = image, runtime, folders

    def launch(self, limits: Limits) -> Launch:
        """How to start one more.

        Raises:
            ConfigError: There is no container runtime.
        """
        wanted = (self._runtime,) if self._runtime else RUNTIMES
        command = next((path for path in map(shutil.which, wanted) if path), None)
        if command is None:
            raise ConfigError(
                f"the sandbox provider 'container' needs {' or '.join(wanted)}, not installed here",
                hint="Install podman or docker, or use the provider 'bubblewrap'.",
            )
        folder = new_folder()
        listener = _listen(folder / "link")
        name = f"athlos-{owner()}-{folder.name.rpartition('-')[2]}"
        argv = run_command(command, self.image, name, str(folder / "link"), limits, self._folders)
        process_env = {name: os.environ[name] for name in _PASSED if name in os.environ}

        def stop() -> None:
            subprocess.Popen(  # noqa: S603 - not waited for: the runtime may hang
                [command, "rm", "--force", name],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=process_env,
                start_new_session=True,
            )

        return Launch(
            argv=argv,
            work=WORK,
            env=dict(_ENV),
            mode="plain",
            seccomp=seccomp.program(os.uname().machine),
            process_env=process_env,
            listener=listener,
            folder=folder,
            stop=stop,
        )

    def explain(self, said: str) -> Exception:
        """The error for a container that ended before its guest was ready."""
        lower = said.lower()
        if "daemon" in lower or "permission denied" in lower:
            return ConfigError(
                f"the container runtime does not work here: {said}",
                hint="Start its service, or use the provider 'bubblewrap'.",
            )
        if "image" in lower or "manifest" in lower:
            return ConfigError(
                f"there is no image {self.image!r} on this machine: {said}",
                hint=f"Get it first: podman pull {self.image} (or docker pull).",
            )
        return SandboxError(f"a container did not start: {said}")


def _listen(folder: Path) -> socket.socket:
    """A socket in a new folder; who may enter the folder's parent decides who can connect."""
    folder.mkdir()
    folder.chmod(0o755)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    place = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        listener.setblocking(False)
        listener.bind(f"/proc/self/fd/{place}/socket")  # the folder's own name may be too long
        (folder / "socket").chmod(0o777)  # the container's user is another one
        listener.listen(1)
    except BaseException:
        listener.close()
        remove(folder.parent)
        raise
    finally:
        os.close(place)
    return listener


def run_command(
    command: str, image: str, name: str, shared: str, limits: Limits, folders: Sequence[str] = ()
) -> list[str]:
    """The command line that starts a container.

    Args:
        command: The runtime.
        image: The image.
        name: Of the container.
        shared: The folder with the socket.
        limits: What programs may use.
        folders: As for `Container`.
    """
    connect = f"link=socket.socket(1,5);link.connect('{_SHARED}/socket')"  # AF_UNIX, packets
    memory = limits.memory + _OURS + 2 * limits.disk  # the folders are in memory
    folder = f"rw,exec,nosuid,nodev,mode=1777,size={limits.disk}"
    argv = [command, "run", "--rm", "--pull=never", f"--name={name}", "--hostname=sandbox"]
    argv += ["--network=none", "--ipc=private"]
    argv += ["--user=0:0"] if folders else ["--read-only", f"--user={_USER}"]
    argv += ["--cap-drop=ALL", "--security-opt=no-new-privileges", "--security-opt=label=disable"]
    argv += [f"--pids-limit={limits.processes + _OUR_PROCESSES}"]
    argv += [f"--memory={memory}", f"--memory-swap={memory}", f"--shm-size={limits.disk}"]
    argv += [f"--tmpfs={WORK}:{folder}", f"--tmpfs=/tmp:{folder}"]
    argv += [f"--tmpfs=/{name}:{folder}" for name in folders]
    argv += [f"--volume={shared}:{_SHARED}:ro", f"--workdir={WORK}"]
    argv += [f"--env={key}={value}" for key, value in _ENV.items()]
    return [*argv, "--entrypoint=python3", image, "-I", "-c", BOOT.format(connect=connect)]

"""Folders that sandboxes need on the host, and the removal of those whose owner was killed.

A folder is named after the process that made it: its id and when it started. A folder whose process
is gone is removed when the next one is made. bubblewrap needs no such folder.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import tempfile
from pathlib import Path

from athlos.errors import SandboxError

__all__ = ["new_folder", "owner", "reap", "remove"]


def new_folder() -> Path:
    """A new folder that only this user can enter; removes what others left.

    Raises:
        SandboxError: The place for it belongs to somebody else.
    """
    place = _place()
    place.mkdir(mode=0o700, exist_ok=True)
    status = place.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o77:
        raise SandboxError(
            f"{place} is not a folder that only this user can enter",
            hint="Somebody else may have made it: remove it, or set TMPDIR.",
        )
    reap()
    folder = place / f"{owner()}-{secrets.token_hex(4)}"
    folder.mkdir(mode=0o700)
    return folder


def owner() -> str:
    """A name for this process that no other one gets, even if its id is used again."""
    return f"{os.getpid()}-{_started(os.getpid())}"


def reap() -> list[str]:
    """Removes the folders of processes that are gone; their names."""
    removed = []
    with contextlib.suppress(FileNotFoundError):
        for folder in sorted(_place().iterdir()):
            pid, _, rest = folder.name.partition("-")
            if pid.isdigit() and _started(int(pid)) != rest.partition("-")[0]:
                remove(folder)
                removed.append(folder.name)
    return removed


def remove(folder: Path) -> None:
    """Removes a folder, whatever permissions its parts have; follows no link."""
    for inner, names, _ in os.walk(folder):
        for path in (Path(inner, name) for name in names):
            with contextlib.suppress(OSError):
                if not path.is_symlink():
                    path.chmod(0o700)  # before it is entered
    shutil.rmtree(folder, ignore_errors=True)


def _place() -> Path:
    return Path(tempfile.gettempdir(), f"athlos-sandboxes-{os.geteuid()}")


def _started(pid: int) -> str:
    """When a process started, in ticks since the boot; "" if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""

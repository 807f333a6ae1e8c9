"""Files of the work folder, for the host: nothing here follows a link."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from typing import Any, Dict, List, Tuple

from athlos.sandbox.guest.data import raw, write_all


def touch_file(work: str, spec: Dict[str, Any], blobs: List[bytes]) -> None:
    """Reads, writes or lists, as the job says; the answer goes to standard output."""
    path = raw(spec["path"])
    if spec["do"] == "write":
        write_file(work, path, blobs[0])
        return
    folder, name = _walk(work, path, make=False)
    if spec["do"] == "list":
        _print_listing(_open_folder(name, folder) if name else folder, spec["limit"])
        return
    fd = os.open(name or b".", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    kind = os.fstat(fd)
    if stat.S_ISDIR(kind.st_mode):
        raise OSError(errno.EISDIR, "is a folder")
    if not stat.S_ISREG(kind.st_mode):
        raise OSError(errno.EPERM, "is no regular file")
    if kind.st_size > spec["limit"]:
        raise OSError(errno.EFBIG, "too large")
    left = spec["limit"]
    while chunk := os.read(fd, min(left, 1 << 16)):  # it may grow while it is read
        left -= len(chunk)
        write_all(1, chunk)


def write_file(work: str, path: bytes, content: bytes) -> None:
    """Creates or replaces a file, and the folders that lead to it."""
    folder, name = _walk(work, path, make=True)
    if not name:
        raise OSError(errno.EISDIR, "is a folder")
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    fd = os.open(name, flags, 0o644, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EPERM, "is no regular file")
        os.ftruncate(fd, 0)
        write_all(fd, content)
    finally:
        os.close(fd)
        os.close(folder)


def _walk(work: str, path: bytes, make: bool) -> Tuple[int, bytes]:
    """The folder of a path and the last name; "" if the path is the work folder."""
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    if b".." in parts or b"\0" in path:
        raise OSError(errno.EPERM, "leads out")
    folder = os.open(work, os.O_RDONLY | os.O_DIRECTORY)
    for part in parts[:-1]:
        if make:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=folder)
        inner = _open_folder(part, folder)
        os.close(folder)
        folder = inner
    return folder, parts[-1] if parts else b""


def _open_folder(name: bytes, folder: int) -> int:
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)


def _print_listing(folder: int, limit: int) -> None:
    found: List[Tuple[str, str, int]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if len(found) > limit:
                break
            status = entry.stat(follow_symlinks=False)
            kind = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
            mode = kind.get(stat.S_IFMT(status.st_mode), "other")
            found.append((entry.name, mode, status.st_size))
    write_all(1, json.dumps(sorted(found)).encode())

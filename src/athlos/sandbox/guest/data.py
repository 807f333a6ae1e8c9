"""Bytes from and to descriptors, as the host and the guest exchange them."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, List, Tuple


def raw(word: str) -> bytes:
    """Bytes came as a character each."""
    return word.encode("latin-1")


def write_all(fd: int, data: bytes) -> None:
    """Writes everything."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def read_all(fd: int) -> bytes:
    """The content of a file, wherever its descriptor stands."""
    size = os.fstat(fd).st_size
    data = b""
    while len(data) < size and (chunk := os.pread(fd, size - len(data), len(data))):
        data += chunk
    return data


def read_spec(fd: int) -> Tuple[Dict[str, Any], List[bytes]]:
    """What a job is to do, and the bytes that go with it; closes the descriptor."""
    data = read_all(fd)
    os.close(fd)
    end = 8 + int.from_bytes(data[:8], "big")
    spec = json.loads(data[8:end])
    blobs = []
    for size in spec["blobs"]:
        blobs.append(data[end : end + size])
        end += size
    return spec, blobs

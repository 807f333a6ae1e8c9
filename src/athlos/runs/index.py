"""The index of a run: what was recorded, without the text. A resume reads it instead of the data.

`index.bin` is made of batches, each `length u32, crc32 u32, payload`, little-endian, behind a first
line that names the format. A payload is msgpack: the sizes of `rollouts.jsonl` and `failures.jsonl`
that the batches up to here cover, and an entry for each record among them. A batch is written when
its data is on the disk, so whatever the index says is there; what it does not say is read from the
data. It can be deleted at any time: it is made anew.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import msgspec
from msgspec import Struct

from athlos.runs.journal import Journal
from athlos.types import Failure, Rollout, Usage

__all__ = ["Entry", "FailureEntry", "Index", "Key", "RolloutEntry", "enter"]

_FORMAT = b"athlos index 1\n"
_HEAD = struct.Struct("<II")


class _Call(Struct, gc=False):
    """What a summary needs of a call."""

    latency: float


class RolloutEntry(Struct, array_like=True, tag=0, gc=False):
    """What resuming and summing up need of a rollout, under the names that a rollout has."""

    task: int
    sample: int
    attempt: int
    truncated: bool
    stop_reason: str
    reward: float
    rewards: dict[str, float]
    metrics: dict[str, float]
    turns: int
    tool_calls: int
    tool_errors: int
    prompt_tokens: int
    completion_tokens: int
    duration: float
    latencies: list[float]
    role_usage: dict[str, Usage] = {}

    failure_class: ClassVar[str] = ""

    @property
    def status(self) -> str:
        """`truncated` or `completed`."""
        return "truncated" if self.truncated else "completed"

    @property
    def usage(self) -> RolloutEntry:
        """What has the counts of tokens."""
        return self

    @property
    def timing(self) -> RolloutEntry:
        """What has the duration."""
        return self

    @property
    def calls(self) -> list[_Call]:
        """The calls, of which only the latency is known."""
        return [_Call(latency) for latency in self.latencies]


class FailureEntry(Struct, array_like=True, tag=1, gc=False):
    """What resuming and summing up need of a failed attempt."""

    task: int
    sample: int
    attempt: int
    failure_class: str
    usage: Usage
    calls: list[_Call]
    role_usage: dict[str, Usage] = {}


Entry = RolloutEntry | FailureEntry


class Key(Struct, array_like=True, gc=False):
    """The beginning of an entry; `failed` is its tag."""

    failed: int
    task: int
    sample: int
    attempt: int


class _Keys(Struct, array_like=True, gc=False):
    rollouts: int
    failures: int
    entries: list[Key]


class _Entries(Struct, array_like=True, gc=False):
    rollouts: int
    failures: int
    entries: list[Entry]


_encode = msgspec.msgpack.Encoder().encode


def enter(task: int, record: Rollout | Failure) -> bytes:
    """The encoded entry of a record; `task` is the position of its task."""
    if not isinstance(record, Rollout):
        entry = FailureEntry(
            task,
            record.sample,
            record.attempt,
            record.failure_class,
            record.usage,
            [_Call(call.latency) for call in record.calls],
            record.role_usage,
        )
        return _encode(entry)
    usage = record.usage
    return _encode(
        RolloutEntry(
            task,
            record.sample,
            record.attempt,
            record.status == "truncated",
            record.stop_reason,
            record.reward,
            record.rewards,
            record.metrics,
            record.turns,
            record.tool_calls,
            record.tool_errors,
            usage.prompt_tokens,
            usage.completion_tokens,
            record.timing.duration,
            [call.latency for call in record.calls],
            record.role_usage,
        )
    )


class Index:
    """The open index.

    Attributes:
        rollouts: Bytes of `rollouts.jsonl` that it covers.
        failures: Bytes of `failures.jsonl` that it covers.
        whole: Whether nothing of it was missing or damaged. After `read` has ended.
    """

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path)
        self.rollouts = 0
        self.failures = 0
        self.whole = True

    def read(self) -> Iterator[list[Key]]:
        """Reads the index, batch by batch, and cuts off what is damaged."""
        decoder = msgspec.msgpack.Decoder(_Keys)
        end = len(_FORMAT)
        if self._journal.read(0, end) != _FORMAT:
            self.whole = False
            self._journal.cut(0)
            self._journal.append(_FORMAT)
            return
        for payload in self._payloads(self._journal.size):
            try:
                batch = decoder.decode(payload)
            except msgspec.DecodeError:
                break
            self.rollouts, self.failures = batch.rollouts, batch.failures
            end += _HEAD.size + len(payload)
            yield batch.entries
        self.whole = not self._journal.cut(end)

    def forget(self) -> None:
        """Empties it: what it says of the data is no longer true."""
        self._journal.cut(len(_FORMAT))
        self.rollouts = self.failures = 0
        self.whole = False

    def entries(self, end: int) -> Iterator[Entry]:
        """What the index holds up to a size that it had."""
        decoder = msgspec.msgpack.Decoder(_Entries)
        for payload in self._payloads(end):
            yield from decoder.decode(payload).entries

    @property
    def size(self) -> int:
        """Bytes of the index."""
        return self._journal.size

    def append(self, rollouts: int, failures: int, entries: list[bytes]) -> None:
        """Adds encoded entries: with them, these sizes of the data are covered."""
        sizes = _encode(rollouts), _encode(failures)
        count = b"\xdd" + len(entries).to_bytes(4, "big")  # msgpack's head of a list
        payload = b"".join((b"\x93", *sizes, count, *entries))
        self._journal.append(_HEAD.pack(len(payload), zlib.crc32(payload)) + payload)
        self.rollouts, self.failures = rollouts, failures

    def close(self) -> None:
        """Syncs and closes. May be called twice."""
        self._journal.close()

    def sync(self) -> None:
        """Puts it on the disk, which spares the next part of the run some reading."""
        self._journal.sync()

    def _payloads(self, end: int) -> Iterator[bytes]:
        """Every batch whose checksum is right, up to the first where it is not."""
        file = self._journal.reader(len(_FORMAT))
        left = end - len(_FORMAT) - _HEAD.size
        while left > 0:
            length, crc = _HEAD.unpack(file.read(_HEAD.size))
            left -= length
            if left < 0:
                return
            payload = file.read(length)
            if zlib.crc32(payload) != crc:
                return
            yield payload
            left -= _HEAD.size

"""Kills collections and checks what is left. A program of its own, so that it can fork.

    python driver.py boundaries FOLDER        at every operation on the run folder
    python driver.py random FOLDER KILLS      at random moments

Each part of a run is a process that says on a pipe which rollouts it was handed. When the run has
been finished after its kills, each of these must be in the folder, once.
"""

import asyncio
import itertools
import json
import os
import random
import select
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec

import athlos.runs.folder
from athlos import Environment, ModelError, Task, collect, read_failures, read_rollouts, reward
from athlos.metrics import summarize_run
from athlos.testing import fake_model

SAMPLES = 2


class Echo(Environment):
    """Asks to say a number."""

    count = 5
    version = "1"

    @classmethod
    def tasks(cls, config, split):
        for number in range(cls.count):
            yield Task(f"Say {number}. " + "é" * 300, {"number": number}, id=f"t{number}")

    @reward
    def right(self, rollout):
        return float(str(self.task.info["number"]) in rollout.answer)


def part(folder: Path, told: int, *, durable: bool, latency: float, failing: float) -> None:
    """One part of a run; says on the pipe what it was handed."""

    async def answer(messages):
        await asyncio.sleep(random.random() * latency)
        if random.random() < failing:
            raise ModelError("down")
        return messages[0].text

    async def main():
        model = fake_model(answer, name="fake")
        run = collect(
            Echo, model, samples=SAMPLES, concurrency=4, out=folder, durable=durable, attempts=1
        )
        async for rollout in run:
            write(told, rollout.id.encode() + b"\n")

    asyncio.run(main())


def fork(work: Callable[[int], None]) -> tuple[int, int]:
    """Runs something in a process; returns its id, and a pipe with what it says."""
    read, told = os.pipe()
    process = os.fork()
    if process:
        os.close(told)
        return process, read
    code = 1
    try:
        os.close(read)
        work(told)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(process: int, pipe: int) -> tuple[list[str], bool]:
    """What it said, and whether it was killed."""
    with os.fdopen(pipe) as file:
        said = file.read().split()
    status = os.waitpid(process, 0)[1]
    killed = os.WIFSIGNALED(status)
    assert killed or status == 0, f"a part of the run failed: {status}"
    return said, killed


def check(folder: Path, told: list[str]) -> None:
    """The run is complete; nothing that was handed out is lost, nothing is there twice."""
    rollouts = list(read_rollouts(folder))
    found = Counter((r.task_id, r.sample) for r in rollouts)
    assert set(found.values()) == {1}, found.most_common(3)
    assert len(found) == Echo.count * SAMPLES, len(found)
    lost = Counter(told) - Counter(rollout.id for rollout in rollouts)
    assert not lost, lost
    ids = [record.id for record in (*rollouts, *read_failures(folder))]
    assert len(set(ids)) == len(ids)
    written = json.loads((folder / "metrics.json").read_text())
    assert written["accounting"]["scored"] == len(rollouts)
    assert written["accounting"] == msgspec.to_builtins(summarize_run(folder)[1].accounting)
    for name in ("tasks.jsonl", "rollouts.jsonl", "failures.jsonl"):
        for line in (folder / name).read_bytes().splitlines():
            json.loads(line)


write = os.write
NAMES = ("open", "write", "fdatasync", "fsync", "ftruncate", "replace", "mkdir")


def deadly(folder: Path, position: int, halves: bool) -> None:
    """From now on, the operation on the folder at this position kills the process.

    Before it is done, or with `halves` when half of it is: of a write the half of the bytes, in the
    middle of a line. What would be after an operation is before the next.
    """
    count = 0

    def within(target: object) -> bool:
        path = os.readlink(f"/proc/self/fd/{target}") if isinstance(target, int) else str(target)
        return path.startswith(str(folder))

    def wrapped(name: str) -> Callable:
        original = getattr(os, name)

        def operation(target, *rest, **named):
            nonlocal count
            if within(target):
                count += 1
                if count == position:
                    if halves and name == "write":
                        original(target, bytes(rest[0])[: len(rest[0]) // 2].rstrip(b"\n"))
                    os.kill(os.getpid(), signal.SIGKILL)
            return original(target, *rest, **named)

        return operation

    for name in NAMES:
        setattr(os, name, wrapped(name))


def live(
    folder: Path, *, durable: bool, failing: float = 0.0, position: int = 0, halves: bool = False
) -> tuple[list[str], bool]:
    """One part of a run in a process, killed at an operation; what it was handed, and if it was."""

    def work(told: int) -> None:
        if position:
            deadly(folder, position, halves)
        part(folder, told, durable=durable, latency=0.0, failing=failing)

    return ended(*fork(work))


def boundaries(root: Path) -> None:
    """Kills a run at every operation, and a resumed one; prints how many kills there were."""
    kills = 0
    for durable in (False, True):
        torn: dict[str, bytes] = {}
        for halves in (False, True):
            for position in itertools.count(1):
                folder = root / f"first-{durable}-{halves}-{position}"
                told, killed = live(
                    folder, durable=durable, failing=0.3, position=position, halves=halves
                )
                if not killed:
                    break
                kills += 1
                torn = torn or is_torn(folder)
                check(folder, told + live(folder, durable=durable)[0])
        assert torn
        for position in itertools.count(1):
            folder = root / f"second-{durable}-{position}"
            folder.mkdir()
            for name, content in torn.items():
                (folder / name).write_bytes(content)
            told, killed = live(folder, durable=durable, position=position, halves=True)
            if not killed:
                check(folder, told)
                break
            kills += 1
            check(folder, told + live(folder, durable=durable)[0])
    print(json.dumps({"kills": kills}))


def is_torn(folder: Path) -> dict[str, bytes]:
    """The files of a run whose last rollout is torn; nothing if it is not."""
    data = folder / "rollouts.jsonl"
    if not data.exists() or data.read_bytes()[-1:] in (b"", b"\n"):
        return {}
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def at_random(root: Path, kills: int) -> None:
    """Kills a run again and again; prints how many rollouts were handed out before a kill."""
    Echo.count = 40 * kills
    folder = root / "random"
    told: list[str] = []
    for kill in range(kills):
        told += killed_soon(folder, durable=kill % 5 == 0, working=kill % 2 == 0)
    survived = len(told)
    told += live(folder, durable=False)[0]
    check(folder, told)
    print(json.dumps({"kills": kills, "survived": survived}))


def killed_soon(folder: Path, *, durable: bool, working: bool) -> list[str]:
    """One part of a run that is killed, when it is `working` or soon; what it was handed."""
    process, pipe = fork(
        lambda told: part(folder, told, durable=durable, latency=0.02, failing=0.1)
    )
    if working:
        select.select([pipe], [], [], 60)
    time.sleep(random.random() * 0.4)
    os.kill(process, signal.SIGKILL)
    return ended(process, pipe)[0]


if __name__ == "__main__":
    athlos.runs.folder._git_commit = lambda: None  # a process of its own, and slow
    if sys.argv[1] == "boundaries":
        boundaries(Path(sys.argv[2]))
    else:
        at_random(Path(sys.argv[2]), int(sys.argv[3]))

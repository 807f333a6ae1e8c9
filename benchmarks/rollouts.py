"""What Athlos adds to the bare requests: client CPU per rollout, as a ratio to the floor.

The floor sends the same number of the same requests to the same server with the same HTTP library,
decodes the same replies, and does nothing else. Athlos runs whole rollouts: the environment, the
tool loop, scoring, and the run folder on disk. Each is measured in a process of its own, in turn.

    python benchmarks/rollouts.py --rollouts 2000 --in-flight 64 1024
"""

import argparse
import asyncio
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parent))
from athlos import Environment, Model, Rollout, Task, collect, reward, tool
from athlos.models.chat import decode_reply, encode_request
from athlos.types import Message
from fake_server import MODEL, running

RESULTS = Path(__file__).parent / "results" / "rollouts.jsonl"
PROMPT = "Solve 3x + 7 = 43 for x. Think step by step and put the answer into a box."


class Single(Environment):
    """One question, one answer."""

    @classmethod
    def tasks(cls, config: Any, split: str) -> Iterator[Task]:
        """The same question again and again."""
        for index in range(1_000_000):
            yield Task(PROMPT, {"answer": "12"}, id=str(index))

    @reward
    def correct(self, rollout: Rollout) -> float:
        """Whether the answer is there."""
        return float(self.task.info["answer"] in rollout.answer)


class Tools(Single):
    """The same with a tool, which the fake server calls twice."""

    def setup(self) -> None:
        """Starts a count."""
        self.count = 0

    @tool
    async def add(self, amount: int) -> int:
        """Add an amount.

        Args:
            amount: What to add.
        """
        self.count += amount
        return self.count


SHAPES: dict[str, tuple[type[Environment], int]] = {"single": (Single, 0), "tools": (Tools, 2)}


async def floor(url: str, shape: str, rollouts: int, in_flight: int) -> None:
    """Sends the requests of that many rollouts, with the growing conversation, and decodes."""
    from athlos.models.http import HttpTransport

    env, tool_calls = SHAPES[shape]
    tools = [t.wire for t in env.tools.values()]
    messages = [Message("user", PROMPT)]
    bodies = [encode_request(MODEL, messages, tools, {})]
    for _ in range(tool_calls):
        messages += [Message("assistant", None), Message("tool", "1", tool_call_id="call_0")]
        bodies.append(encode_request(MODEL, messages, tools, {}))
    transport = HttpTransport(url, api_key=None, connect_timeout=30, connections=in_flight)
    jobs = iter(range(rollouts))

    async def work() -> None:
        for _ in jobs:
            for body in bodies:
                response = await transport.send("POST", "/chat/completions", body)
                decode_reply(response.body)

    await asyncio.gather(*(work() for _ in range(in_flight)))
    await transport.close()


async def athlos(url: str, shape: str, rollouts: int, in_flight: int) -> None:
    """The same by the engine, with a run folder."""
    env, tool_calls = SHAPES[shape]
    with tempfile.TemporaryDirectory() as folder:
        async with Model(url, MODEL, connections=in_flight) as model:
            collection = collect(
                env, model, limit=rollouts, concurrency=in_flight, out=Path(folder) / "run"
            )
            summary = await collection.run()
    assert summary.accounting.completed == rollouts, collection.failures[:1]
    assert summary.turns == tool_calls + 1


CONTENDERS: dict[str, Callable[[str, str, int, int], Awaitable[None]]] = {
    "floor": floor,
    "athlos": athlos,
}


def _measure(name: str, *arguments: Any) -> tuple[float, float, float]:
    """Client CPU and wall seconds, and peak memory in MB, of one contender; in a new process."""
    import uvloop

    async def timed() -> tuple[float, float]:
        cpu, wall = time.process_time(), time.perf_counter()
        await CONTENDERS[name](*arguments)
        return time.process_time() - cpu, time.perf_counter() - wall

    cpu, wall = uvloop.run(timed())
    return cpu, wall, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name: str, *arguments: Any) -> tuple[float, float, float]:
    """The same, from outside."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (name, *arguments))


def main() -> None:
    """Prints a table and appends a JSON line for each row."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rollouts", type=int, default=2000)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[64, 1024])
    parser.add_argument("--latency", type=float, default=0.1, help="seconds a reply takes")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    RESULTS.parent.mkdir(exist_ok=True)
    print(f"{'shape':8} {'in flight':>9} {'floor':>10} {'athlos':>10} {'ratio':>6} {'MB':>5}")
    for shape, (_, tool_calls) in SHAPES.items():
        with running(
            latency=options.latency, tool_calls=tool_calls, arguments='{"amount": 1}'
        ) as url:
            for in_flight in options.in_flight:
                cpu: dict[str, list[float]] = {name: [] for name in CONTENDERS}
                memory = 0.0
                for _ in range(options.repeats):
                    for name, times in cpu.items():
                        spent, _, megabytes = measure(name, url, shape, options.rollouts, in_flight)
                        times.append(spent / options.rollouts * 1e6)
                        memory = megabytes
                low, own = (statistics.median(cpu[name]) for name in ("floor", "athlos"))
                figures = f"{low:7.0f} µs {own:7.0f} µs {own / low:6.2f} {memory:5.0f}"
                print(f"{shape:8} {in_flight:9} {figures}", flush=True)
                row = {
                    "shape": shape,
                    "in_flight": in_flight,
                    "floor_us": low,
                    "athlos_us": own,
                    "ratio": own / low,
                    "rollouts": options.rollouts,
                    "peak_mb": memory,
                }
                with RESULTS.open("ab") as file:
                    file.write(msgspec.json.encode(row) + b"\n")


if __name__ == "__main__":
    main()

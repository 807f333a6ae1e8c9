"""What Athlos adds to the bare requests: client CPU per rollout, as a ratio to the floor.

The floor sends the same number of the same requests to the same server with the same HTTP library,
decodes the same replies, and does nothing else. Athlos runs whole rollouts: the environment, the
tool loop, scoring, and the run folder on disk. They take turns, each in a process of its own with a
server of its own. `docs/benchmarks.md` says how to read the figures.

    python benchmarks/rollouts.py                       # every row
    python benchmarks/rollouts.py --in-flight 64 --shapes single --repeats 7
"""

import argparse
import asyncio
import gc
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parent))
from athlos import Environment, Model, Rollout, Task, collect, reward, tool
from athlos.models.chat import decode_reply, encode_request
from athlos.types import FunctionCall, Message, ToolCall
from common import (
    Clock,
    Table,
    allow_files,
    child,
    child_arguments,
    median,
    parser,
    peak_mb,
    spread,
    write,
)
from fake_server import MODEL, read_counters, running

PROMPT = "Solve 3x + 7 = 43 for x. Think step by step and put the answer into a box."
ARGUMENTS = '{"amount": 1}'

# In flight: rollouts, and seconds that a reply takes. With less latency the client would be busy
# before that many requests are at the server; with more, the clock would run and not the CPU.
ROWS = {64: (4_000, 0.05), 1_024: (6_000, 0.5), 10_000: (20_000, 2.0)}


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


async def floor(
    url: str, shape: str, rollouts: int, in_flight: int, clock: Clock, *, warm: bool = True
) -> None:
    """Sends the requests of that many rollouts, with the growing conversation, and decodes."""
    from athlos.models.http import HttpTransport

    transport = HttpTransport(url, api_key=None, connect_timeout=60, connections=in_flight)

    async def send(jobs: Iterator[int], bodies: list[bytes]) -> None:
        for _ in jobs:
            for body in bodies:
                response = await transport.send("POST", "/chat/completions", body)
                decode_reply(response.body)

    async def send_all(count: int, bodies: list[bytes]) -> None:
        jobs = iter(range(count))
        await asyncio.gather(*(send(jobs, bodies) for _ in range(in_flight)))

    if warm:
        await send_all(in_flight, _bodies("single"))
    bodies = _bodies(shape)
    clock.start()
    await send_all(rollouts, bodies)
    clock.stop()
    await transport.close()


def _bodies(shape: str) -> list[bytes]:
    """The requests of one rollout, as Athlos sends them."""
    env, tool_calls = SHAPES[shape]
    tools = [t.wire for t in env.tools.values()]
    messages = [Message("user", PROMPT)]
    bodies = [encode_request(MODEL, messages, tools, {})]
    for number in range(tool_calls):
        call = f"call_{number}"
        function = FunctionCall("add", ARGUMENTS)
        messages.append(Message("assistant", None, tool_calls=[ToolCall(call, function)]))
        messages.append(Message("tool", str(number + 1), tool_call_id=call))
        bodies.append(encode_request(MODEL, messages, tools, {}))
    return bodies


async def floor_gc(
    url: str, shape: str, rollouts: int, in_flight: int, clock: Clock, *, warm: bool = True
) -> None:
    """The floor with a tuned garbage collector: hardly any of Python's full collections."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 50, 1_000_000)
    await floor(url, shape, rollouts, in_flight, clock, warm=warm)


async def athlos(
    url: str, shape: str, rollouts: int, in_flight: int, clock: Clock, *, warm: bool = True
) -> None:
    """The same by the engine, with a run folder."""
    env, tool_calls = SHAPES[shape]
    with tempfile.TemporaryDirectory() as folder:
        async with Model(url, MODEL, connections=in_flight) as model:

            def collection(env: type[Environment], limit: int, name: str) -> Any:
                out = Path(folder) / name
                return collect(env, model, limit=limit, concurrency=in_flight, out=out)

            if warm:
                await collection(Single, in_flight, "warm-up").run()
            clock.start()
            timed = collection(env, rollouts, "run")
            summary = await timed.run()
            clock.stop()
    assert summary.accounting.scored == rollouts, timed.failures[:1]
    assert summary.turns == tool_calls + 1


CONTENDERS: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
    "floor": floor,
    "floor, gc tuned": floor_gc,
    "athlos": athlos,
}


def measure(
    contender: str,
    shape: str,
    rollouts: int,
    in_flight: int,
    latency: float,
    *,
    script: str = "rollouts.py",
    python: str = sys.executable,
    warm: bool = True,
) -> dict[str, Any]:
    """The figures of one contender, from a new process and a new server."""
    tool_calls = SHAPES[shape][1]
    run = {"system": contender, "shape": shape, "rollouts": rollouts, "in_flight": in_flight}
    run["warm"] = warm
    with running(latency=latency, tool_calls=tool_calls, arguments=ARGUMENTS) as url:
        figures = child(script, {"url": url, **run}, python=python)
        seen = read_counters(url)
    calls = in_flight * warm + rollouts * (tool_calls + 1)
    assert seen.chats == calls, f"{seen.chats} requests at the server, not {calls}"
    return figures | {"at_server": seen.peak, "connections": seen.peak_open, "server_s": seen.cpu}


def _measured(arguments: dict[str, Any]) -> dict[str, float]:
    """What the new process does."""
    import uvloop

    in_flight = arguments["in_flight"]
    allow_files(in_flight)
    clock = Clock()
    run = CONTENDERS[arguments["system"]]
    what = arguments["url"], arguments["shape"], arguments["rollouts"], in_flight, clock
    uvloop.run(run(*what, warm=arguments["warm"]))
    return {
        "us": clock.cpu / arguments["rollouts"] * 1e6,
        "wall_s": clock.wall,
        "peak_mb": peak_mb(),
    }


def compare(names: list[str], repeats: int, *row: Any) -> dict[str, Any]:
    """The contenders in turn, several times; medians, all values, and ratios to the floor."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(repeats):
        for name in names:
            runs[name].append(measure(name, *row))
    result: dict[str, Any] = {}
    low = [run["us"] for run in runs["floor"]]
    for name in names:
        own = [run["us"] for run in runs[name]]
        result[name] = {
            "us": round(median(own), 1),
            "us_all": [round(value, 1) for value in own],
            "ratio": round(median(own) / median(low), 3),
            "paired_ratio": round(median([a / b for a, b in zip(own, low, strict=True)]), 3),
            "ratio_all": [round(a / b, 3) for a, b in zip(own, low, strict=True)],
            "peak_mb": round(max(run["peak_mb"] for run in runs[name]), 1),
            "wall_s": round(median([run["wall_s"] for run in runs[name]]), 2),
            "server_s": round(median([run["server_s"] for run in runs[name]]), 2),
            "at_server": min(int(run["at_server"]) for run in runs[name]),
            "connections": min(int(run["connections"]) for run in runs[name]),
        }
    return result


def main() -> None:
    """Prints a line for each contender and writes a JSON line for each row."""
    given = child_arguments()
    if given is not None:
        print(msgspec.json.encode(_measured(given)).decode())
        return
    options = _options()
    names = [name for name in CONTENDERS if options.floor_gc or name != "floor, gc tuned"]
    print(
        "Client CPU per rollout: the median of runs in turn, their range, and the ratio to the "
        "floor:\nof the medians, and the median of neighbouring pairs. MB: the most memory of any. "
        "At server: the\nfewest, over the runs, of the most requests that waited there at once.\n"
    )
    table = Table(
        ("shape", 7), ("in flight", 9), ("", 15), ("µs", 7), ("range", 11), ("ratio", 6),
        ("pairs", 6), ("MB", 5), ("at server", 9), ("wall s", 6),
    )  # fmt: skip
    for in_flight in options.in_flight:
        rollouts, latency = ROWS.get(in_flight, (max(2_000, 2 * in_flight), 0.1))
        rollouts = options.rollouts or rollouts
        latency = latency if options.latency is None else options.latency
        if not allow_files(in_flight):
            print(f"{in_flight} in flight: skipped; this process may not open that many files")
            continue
        repeats = options.repeats or (3 if in_flight > 2_000 else 5)
        for shape in options.shapes:
            result = compare(names, repeats, shape, rollouts, in_flight, latency)
            for name, figures in result.items():
                table.add(
                    shape, f"{in_flight:,}", name, f"{figures['us']:.0f}",
                    spread(figures["us_all"]), f"{figures['ratio']:.2f}",
                    f"{figures['paired_ratio']:.2f}", f"{figures['peak_mb']:.0f}",
                    f"{figures['at_server']:,}", f"{figures['wall_s']:.1f}",
                )  # fmt: skip
            row = {
                "shape": shape,
                "in_flight": in_flight,
                "rollouts": rollouts,
                "latency_s": latency,
                "contenders": result,
            }
            write(options.results, "rollouts", row)


def _options() -> argparse.Namespace:
    made = parser(__doc__, repeats=0)
    made.add_argument("--in-flight", type=int, nargs="+", default=list(ROWS))
    made.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    made.add_argument("--rollouts", type=int, help="in each run; by default it depends on the row")
    made.add_argument("--latency", type=float, help="seconds a reply takes; by default, too")
    made.add_argument(
        "--floor-gc", action="store_true", help="a second floor, with a tuned garbage collector"
    )
    options = made.parse_args()
    if options.quick:
        options.in_flight, options.rollouts, options.latency, options.repeats = [8], 40, 0.001, 1
    return options


if __name__ == "__main__":
    main()

"""What an HTTP client costs per model call, and how it behaves when things go wrong.

`python benchmarks/http_clients.py` measures client CPU, memory, import time and packages of each
library; `--behaviour` runs the experiments on cancellation, resets, timeouts, proxies and fork
instead. Everything stays on 127.0.0.1. The figures and the choice are in
docs/decisions/0001-http-client.md.

Each measurement runs in a fresh process, repeats are interleaved over the libraries and the median
is reported, so that a noisy machine disturbs all of them alike. The libraries other than the chosen
one are not dependencies: one that is not installed is left out.
"""

import argparse
import asyncio
import contextlib
import gc
import importlib.metadata
import importlib.util
import json
import os
import re
import resource
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from fake_server import running
from http_adapters import BODY, CLIENTS, LIBRARIES, HttpClient, Settings, decode
from http_hostile import HostileServer

# --- Cost


def memory_mib(field: str) -> float:
    """The process's `VmRSS` (now) or `VmHWM` (peak), in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) / 1024


def cpu_seconds() -> float:
    """CPU time of all threads of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def load(client: HttpClient, url: str, connections: int, requests: int) -> Counter[str]:
    """Keeps `connections` requests in flight until `requests` are done; counts the outcomes."""
    outcomes: Counter[str] = Counter()
    left = requests

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            try:
                status, body = await client.post(url, BODY)
                decode(body)
            except Exception as error:  # noqa: BLE001 - a failure of any class is an outcome
                outcomes[type(error).__name__] += 1
            else:
                outcomes["ok" if status == 200 else str(status)] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(worker())
    return outcomes


async def cost(name: str, url: str, connections: int, requests: int) -> dict[str, Any]:
    """Measures one library in this process, after a warm-up that opens every connection."""
    before = memory_mib("VmRSS")
    client = CLIENTS[name](Settings(connections))
    await load(client, url, connections, 2 * connections)
    gc.collect()
    cpu, wall = cpu_seconds(), time.perf_counter()
    outcomes = await load(client, url, connections, requests)
    cpu, wall = cpu_seconds() - cpu, time.perf_counter() - wall
    await client.close()
    return {
        "cpu_us": cpu / requests * 1e6,
        "requests_per_s": requests / wall,
        "memory_mib": memory_mib("VmHWM") - before,
        "failed": requests - outcomes["ok"],
        "outcomes": outcomes,
    }


def worker_process(*arguments: str, timeout: float = 180, flags: Iterable[str] = ()) -> Any:
    """Runs this file in a fresh process; its last line of output is the result, as JSON."""
    command = [sys.executable, *flags, __file__, "--worker", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
        result = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"error": f"no end after {timeout:.0f} s"}
    except (IndexError, ValueError):
        return {"error": (done.stderr.splitlines() or [f"exit code {done.returncode}"])[-1]}
    return result | {"stderr": done.stderr} if done.stderr else result


def import_ms(name: str) -> float:
    """Median CPU milliseconds of importing the library on top of asyncio, uvloop and msgspec."""
    statement = (
        "from pyreqwest.client import ClientBuilder" if name == "pyreqwest" else f"import {name}"
    )
    code = (
        "import asyncio, uvloop, msgspec, time; start = time.process_time()\n"
        f"{statement}\nprint((time.process_time() - start) * 1000)"
    )
    command = [sys.executable, "-c", code]
    runs = [subprocess.run(command, capture_output=True, check=True).stdout for _ in range(9)]
    return statistics.median(float(run) for run in runs[1:])


def packages(name: str) -> tuple[list[str], float]:
    """The distributions an install brings, itself included, and their size in MiB."""
    found: dict[str, float] = {}
    queue = [name]
    while queue:
        key = re.sub(r"[-_.]+", "-", queue.pop()).lower()
        if key in found:
            continue
        distribution = importlib.metadata.distribution(key)
        files = [Path(str(file.locate())) for file in distribution.files or []]
        found[key] = sum(file.stat().st_size for file in files if file.is_file()) / 2**20
        for requirement in distribution.requires or []:
            wanted = re.match(r"[\w.-]+", requirement)
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                if wanted and "extra ==" not in requirement:
                    importlib.metadata.distribution(wanted[0])
                    queue.append(wanted[0])
    return sorted(found), sum(found.values())


def measure(names: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """Measures every library at every number of connections; returns the medians."""
    rows: list[dict[str, Any]] = []
    for connections in options.connections:
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        with running(latency=options.latency) as base_url:
            url = f"{base_url}/chat/completions"
            for _ in range(options.repeats):
                for name in names:
                    # The slow ones get fewer requests: their figure needs no more precision.
                    share = 10 if name in ("httpx", "niquests") else 1
                    count = str(max(2 * connections, options.requests // share))
                    runs[name].append(worker_process("cost", name, url, str(connections), count))
        for name, results in runs.items():
            good = [result for result in results if "error" not in result]
            row: dict[str, Any] = {"client": name, "connections": connections, "runs": len(good)}
            for field in ("cpu_us", "requests_per_s", "memory_mib", "failed"):
                values = [result[field] for result in good]
                row[field] = round(statistics.median(values), 1) if values else None
            row["cpu_us_all"] = [round(result["cpu_us"], 1) for result in good]
            row["errors"] = [result["error"] for result in results if "error" in result]
            rows.append(row)
    static = {}
    for name in names:
        if name != "bare":
            brings, size = packages(name)
            static[name] = {
                "import_ms": round(import_ms(name), 1),
                "packages": brings,
                "size_mib": round(size, 1),
                "version": importlib.metadata.version(name),
            }
    return {"cost": rows, "static": static}


# --- Behaviour


def describe(error: BaseException) -> str:
    """The exception's class, its bases and what it says."""
    bases = [base.__name__ for base in type(error).__mro__[1:] if base not in (Exception, object)]
    said = str(error)
    if details := getattr(error, "details", None):  # pyreqwest: a chain of causes, outermost first
        said = " < ".join(cause["message"] for cause in reversed(details["causes"] or []))
    elif error.__cause__:
        said += f" < {error.__cause__!r}"
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    text = f"{name}({', '.join(bases[: bases.index('BaseException')])}): {said}"
    return re.sub(r"\s+", " ", text)[:420]


async def outcome(request: Awaitable[tuple[int, Any]], limit: float = 8) -> str:
    """Awaits a request and says in one line how it ended."""
    start = time.perf_counter()
    try:
        async with asyncio.timeout(limit) as deadline:
            status, body = await request
        return f"status {status}, {len(body)} bytes"
    except Exception as error:  # noqa: BLE001 - which class it is, is the finding
        if deadline.expired():
            return f"HANGS (over {limit:.0f} s)"
        return f"{describe(error)} after {time.perf_counter() - start:.2f} s"


async def cancellation(name: str, server: HostileServer, results: dict[str, str]) -> None:
    """Cancels one request, then 1,000 at once, then uses the same client again."""
    client = CLIENTS[name](Settings(64))
    for mode in ("slow", "slow-body"):
        task = asyncio.create_task(client.post(f"{server.url}/{mode}", BODY))
        await asyncio.sleep(0.2)
        server.gone.clear()
        start = time.perf_counter()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, TimeoutError):
            await task
        try:
            await asyncio.wait_for(server.gone.wait(), 3)
            results[f"cancel one ({mode})"] = (
                f"closed after {(time.perf_counter() - start) * 1e3:.1f} ms"
            )
        except TimeoutError:
            results[f"cancel one ({mode})"] = "STILL OPEN after 3 s"
    results["request after cancel"] = await outcome(client.post(f"{server.url}/ok", BODY))
    for limit in (64, 1024):
        pool = CLIENTS[name](Settings(limit))
        await asyncio.sleep(0.3)
        base, memory = server.open, 0.0
        for round_number in range(4):
            if round_number == 1:  # the first round pays for buffers that are kept
                memory = memory_mib("VmRSS")
            tasks = [
                asyncio.create_task(pool.post(f"{server.url}/slow", BODY)) for _ in range(1000)
            ]
            await asyncio.sleep(0.7)
            in_flight = server.open - base
            for task in tasks:
                task.cancel()
            done, pending = await asyncio.wait(tasks, timeout=10)
        kinds = Counter("cancelled" if task.cancelled() else "other" for task in done)
        await asyncio.sleep(0.7)
        gc.collect()
        left, growth = server.open - base, memory_mib("VmRSS") - memory
        try:
            async with asyncio.timeout(5):
                after = str(dict(await load(pool, f"{server.url}/ok", limit, 2 * limit)))
        except TimeoutError:
            after = "HANGS"
        results[f"cancel 4 x 1,000 (pool {limit})"] = (
            f"{in_flight} open before the last cancel, {left} open 0.7 s after it; {dict(kinds)}, "
            f"{len(pending)} still pending; {growth:+.1f} MiB over 3 rounds; "
            f"then {2 * limit} requests: {after}"
        )
        await pool.close()
    await client.close()


async def breakage(name: str, server: HostileServer, results: dict[str, str]) -> None:
    """Resets, broken bodies and stale connections: what is raised, is a POST sent twice."""
    modes = (
        "reset-before reset-middle close-before short-body half-chunked bad-chunk garbage bad-gzip"
    )
    client = CLIENTS[name](Settings(timeout=3))
    for mode in modes.split():
        text = await outcome(client.post(f"{server.url}/{mode}", BODY))
        results[mode] = f"{text} | {server.seen[mode]} POST seen"
    for mode in ("idle-close", "idle-reset", "second-close", "second-reset"):
        stale = CLIENTS[name](Settings(timeout=3))
        await stale.post(f"{server.url}/{mode}", BODY)
        await asyncio.sleep(0.2)
        text = await outcome(stale.post(f"{server.url}/{mode}", BODY))
        results[f"stale: {mode}"] = f"{text} | {server.seen[mode]} POSTs seen (2 = no replay)"
        await stale.close()
    ends = [
        (await outcome(client.post(f"{server.url}/close-at-once", BODY))).split("(")[0]
        for _ in range(200)
    ]
    results["stale: close-at-once, 200 in a row"] = (
        f"{dict(Counter(ends))} | {server.seen['close-at-once']} POSTs seen"
    )
    results["after all that"] = await outcome(client.post(f"{server.url}/ok", BODY))
    await client.close()


async def deadlines(name: str, server: HostileServer, results: dict[str, str]) -> None:
    """Refused, unreachable and too slow."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        client = CLIENTS[name](Settings(timeout=3))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/ok"
        results["refused"] = await outcome(client.post(url, BODY))
        results["name not found"] = await outcome(client.post("http://nohost.invalid/ok", BODY))
        await client.close()
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):  # fills the accept queue, so that the next SYN is dropped
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        client = CLIENTS[name](Settings(connect_timeout=0.3, timeout=3))
        url = f"http://127.0.0.1:{full.getsockname()[1]}/ok"
        results["connect timeout 0.3 s"] = await outcome(client.post(url, BODY))
        await client.close()
    client = CLIENTS[name](Settings(timeout=0.3))
    for mode in ("slow", "slow-body"):
        text = await outcome(client.post(f"{server.url}/{mode}", BODY))
        results[f"total timeout 0.3 s ({mode})"] = f"{text} | {server.seen[mode]} POST seen"
    await client.close()
    await asyncio.sleep(0.3)
    results["connections open after timeouts"] = str(server.open)
    client = CLIENTS[name](Settings(1, timeout=0.5))
    pair = (outcome(client.post(f"{server.url}/slow", BODY)) for _ in range(2))
    results["pool of 1, two requests, timeout 0.5 s"] = " || ".join(
        text.split(":")[0] + text[-13:] for text in await asyncio.gather(*pair)
    )
    await client.close()
    results["request after close"] = await outcome(client.post(f"{server.url}/ok", BODY))


async def surroundings(name: str, server: HostileServer, results: dict[str, str]) -> None:
    """Redirects, proxies, streaming, many connections."""
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        os.environ[variable] = server.url
        for hardened in (False, True):
            client = CLIENTS[name](Settings(hardened=hardened, timeout=3))
            await outcome(client.post(f"{server.url}/ok", BODY))
            proxied = server.targets[-1].startswith("http://")
            label = "hardened" if hardened else "default"
            results[f"{variable} ({label})"] = "USED for 127.0.0.1" if proxied else "not used"
            await client.close()
        del os.environ[variable]
    for hardened in (False, True):
        client = CLIENTS[name](Settings(hardened=hardened, timeout=3))
        text = await outcome(client.post(f"{server.url}/redirect", BODY))
        landed = server.seen.pop("landed", 0)
        results[f"307 ({'hardened' if hardened else 'default'})"] = (
            f"{text}, followed: {bool(landed)}"
        )
        await client.close()
    client = CLIENTS[name](Settings())
    start = time.perf_counter()
    times = [time.perf_counter() - start async for _ in client.stream(f"{server.url}/sse")]
    shown = ", ".join(f"{at * 1e3:.0f}" for at in times)
    results["5 events, 50 ms apart"] = f"chunks after {shown} ms"
    await client.close()
    with running(latency=0.05) as base_url:
        client = CLIENTS[name](Settings(1024))
        start = time.perf_counter()
        done = await load(client, f"{base_url}/chat/completions", 1024, 10240)
        wall = time.perf_counter() - start
        results["1,024 in flight, 50 ms, 10,240"] = f"{dict(done)} in {wall:.1f} s"
        await client.close()


EXPERIMENTS = {
    "cancellation": cancellation,
    "breakage": breakage,
    "deadlines": deadlines,
    "surroundings": surroundings,
}


async def experiment(group: str, name: str) -> dict[str, str]:
    """Runs one group of experiments against a hostile server of its own."""
    results: dict[str, str] = {}
    async with HostileServer() as server:
        try:
            async with asyncio.timeout(60):
                await EXPERIMENTS[group](name, server, results)
        except Exception as error:  # noqa: BLE001 - a group that cannot end is a finding too
            results[f"{group} stopped"] = describe(error)
    return results


async def one_post(name: str, url: str, close: bool = True) -> int:
    """One request with a client of its own; returns the status."""
    client = CLIENTS[name](Settings(timeout=3))
    status: int = (await client.post(url, BODY))[0]
    if close:
        await client.close()
    return status


def processes(name: str) -> dict[str, str]:
    """Two event loops in turn, and a child forked after the library was used."""
    with running() as base_url:
        url = f"{base_url}/chat/completions"
        uvloop.run(one_post(name, url))
        results = {"second event loop": f"status {uvloop.run(one_post(name, url))}"}
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(6)
            try:
                os._exit(0 if uvloop.run(one_post(name, url)) == 200 else 1)
            except Exception as error:  # noqa: BLE001 - what it says is the finding
                os.write(write, describe(error).encode())
                os._exit(2)
        end = os.waitpid(child, 0)[1]
        hung = os.WIFSIGNALED(end) and os.WTERMSIG(end) == signal.SIGALRM
        os.close(write)
        said = os.read(read, 500).decode() or f"exit code {end >> 8}"
        results["new client in a forked child"] = "HANGS" if hung else said
    return results


def behave(names: list[str]) -> dict[str, dict[str, str]]:
    """Runs all experiments on each library, each group in a fresh process."""
    findings: dict[str, dict[str, str]] = {}
    for name in names:
        found = findings[name] = {}
        for group in EXPERIMENTS:
            result = worker_process("experiment", group, name, timeout=120)
            if noise := result.pop("stderr", ""):
                found[f"{group}: warnings"] = f"{len(noise.splitlines())} lines, {noise[:200]!r}"
            found.update(result)
        found.update(worker_process("processes", name, timeout=40))
        with running() as base_url:
            url = f"{base_url}/chat/completions"
            result = worker_process("unclosed", name, url, timeout=40, flags=["-X", "dev"])
            lines = str(result.get("stderr", "")).strip().splitlines() or ["silent"]
            found["never closed, -X dev"] = lines[0][-160:]
    return findings


# --- Command line


def work(arguments: list[str]) -> None:
    """The part that runs in a fresh process: prints one line of JSON."""
    result: Any
    match arguments:
        case ["cost", name, url, connections, requests]:
            result = uvloop.run(cost(name, url, int(connections), int(requests)))
        case ["experiment", group, name]:
            result = uvloop.run(experiment(group, name))
        case ["processes", name]:
            result = processes(name)
        case ["unclosed", name, url]:
            result = {"status": uvloop.run(one_post(name, url, close=False))}
        case _:
            raise SystemExit(f"unknown worker arguments: {arguments}")
    print(json.dumps(result))


def show(report: dict[str, Any], console: Console) -> None:
    """Prints the tables of a report."""
    if "cost" in report:
        table = Table(title="one POST and its decoded reply")
        for heading in (
            "client",
            "in flight",
            "CPU µs",
            "requests/s",
            "memory MiB",
            "failed",
            "runs",
        ):
            table.add_column(heading, justify="left" if heading == "client" else "right")
        for row in report["cost"]:
            fields = ("client", "connections", "cpu_us", "requests_per_s", "memory_mib", "failed")
            table.add_row(*(str(row[field]) for field in fields), str(row["runs"]))
            for error in row["errors"]:
                table.add_row("", "", error)
        console.print(table)
        table = Table(
            "client", "version", "import CPU ms", "packages", "MiB", title="what it brings"
        )
        for name, row in report["static"].items():
            brings = f"{len(row['packages'])}: {' '.join(row['packages'])}"
            table.add_row(name, row["version"], str(row["import_ms"]), brings, str(row["size_mib"]))
        console.print(table)
    for name, findings in report.get("behaviour", {}).items():
        table = Table("experiment", "outcome", title=f"behaviour of {name}", show_lines=True)
        for key, value in findings.items():
            table.add_row(key, str(value))
        console.print(table)


def main() -> None:
    """Parses the command line, measures, prints and writes one line of JSON."""
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, nargs="+", default=[64, 1024])
    parser.add_argument(
        "--requests", type=int, default=20_000, help="per run (a tenth for the slow)"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--latency", type=float, default=0.0, help="of the server, in seconds")
    parser.add_argument("--clients", nargs="+", choices=list(CLIENTS), default=list(CLIENTS))
    parser.add_argument("--behaviour", action="store_true", help="run the experiments instead")
    parser.add_argument("--json", action="store_true", help="print the line of JSON, no tables")
    options = parser.parse_args()
    names = [name for name in options.clients if name == "bare" or importlib.util.find_spec(name)]
    report: dict[str, Any] = {
        "benchmark": "http_clients",
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": sys.version.split()[0],
        "cpus": os.cpu_count(),
        "latency_s": options.latency,
    }
    if options.behaviour:
        report["behaviour"] = behave([name for name in names if name in LIBRARIES])
    else:
        report |= measure(names, options)
    line = json.dumps(report)
    results = Path(__file__).parent / "results" / "http_clients.jsonl"
    results.parent.mkdir(exist_ok=True)
    with results.open("a") as file:
        file.write(f"{line}\n")
    if options.json:
        print(line)
    else:
        show(report, Console())


if __name__ == "__main__":
    main()

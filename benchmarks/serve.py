"""What a request to an environment costs, next to an empty handler on the same stack.

Both are a process of their own with uvicorn, httptools and uvloop; the CPU seconds of that process
are divided by the requests. The empty handler reads the body and answers with bytes of the same
length. The server opens a session, runs three tools in it and scores it: five requests. Clients
pause between requests, so that neither server is ever the bottleneck: a busy server would find its
clients asleep and pay for waking them, which the empty handler would not.

    python benchmarks/serve.py --sessions 6400
"""

import asyncio
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from common import Table, allow_files, median, parser, spread, write

CLIENTS = 64
PAUSE = 0.016  # seconds between a reply and the next request: what a model would take, and less
TOOLS = 3
PER_SESSION = 2 + TOOLS
PARTS = 20
KINDS = ("empty", "serve", "many")
ROW = {
    "responses_create_params": {
        "input": [{"role": "user", "content": "Bring the counter to 6. Use the tool. " * 4}],
    },
    "verifier_metadata": {"target": 6},
}
SAID = {
    "type": "message",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "The counter stands at 6 now.", "annotations": []}],
}


def _turns() -> list[dict[str, Any]]:
    output: list[dict[str, Any]] = []
    for number in range(TOOLS):
        call = f"call_{number}"
        arguments = {"name": "add", "arguments": '{"amount": 2}'}
        output.append({"type": "function_call", "call_id": call, **arguments})
        reply = {"call_id": call, "output": str(2 * number + 2)}
        output.append({"type": "function_call_output", **reply})
    return [*output, SAID]


SEED = msgspec.json.encode(ROW)
ADD = b'{"amount": 2}'
VERIFY = msgspec.json.encode({**ROW, "response": {"id": "resp_1", "output": _turns()}})


# The two servers


async def serve_empty() -> None:
    """Answers every request at once, with as many bytes as the other would."""
    from athlos.gateway.listen import listen, make_server

    lengths = {"/seed_session": 2, "/add": 1, "/verify": len(VERIFY) + 130}
    bodies = {path: b"x" * length for path, length in lengths.items()}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        body = bodies[scope["path"]]
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"athlos-session", b"none"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    server = make_server(app, "the benchmark")
    server.ready = asyncio.Event()
    listener = listen("127.0.0.1", 0)
    serving = asyncio.create_task(server.serve([listener]))
    await server.ready.wait()
    _report([listener.getsockname()[1], ""])
    await _stdin_closed()
    server.should_exit = True
    await serving


async def serve() -> None:
    """The server, with the counter."""
    from athlos.serve import EnvOptions, Options, Server

    async with Server(Options(environments=[EnvOptions("counter")])) as server:
        _report([int(server.url.rpartition(":")[2]), server.token])
        await _stdin_closed()


async def _stdin_closed() -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()


def _report(value: Any) -> None:
    print(msgspec.json.encode(value).decode(), flush=True)


@contextmanager
def process(role: str) -> Iterator[tuple[int, Any]]:
    """Runs a role of this file; yields its process and what it reported."""
    command = [sys.executable, __file__, "--role", role]
    pipe = subprocess.PIPE
    child = subprocess.Popen(command, stdin=pipe, stdout=pipe)
    assert child.stdin is not None and child.stdout is not None
    try:
        line = child.stdout.readline()
        if not line:
            raise RuntimeError(f"{role} did not start")
        yield child.pid, msgspec.json.decode(line)
    finally:
        child.stdin.close()
        child.wait(30)


# The load


class Connection:
    """Sends one request after another."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._head = f"host: 127.0.0.1:{port}\r\nauthorization: Bearer {token}\r\n"

    async def open(self) -> None:
        """Connects."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def post(self, path: str, body: bytes, session: str = "") -> tuple[bytes, bytes]:
        """Returns the head of the reply, in lower case where it is ours, and its body."""
        head = f"POST {path} HTTP/1.1\r\n{self._head}content-length: {len(body)}\r\n"
        if session:
            head += f"athlos-session: {session}\r\n"
        await asyncio.sleep(PAUSE)
        self._writer.write(f"{head}\r\n".encode() + body)
        reply = await self._reader.readuntil(b"\r\n\r\n")
        if not reply.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"refused: {reply!r} {await self._reader.read(500)!r}")
        length = int(reply.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        return reply, await self._reader.readexactly(length)

    async def attempt(self) -> bytes:
        """One session; returns what scoring it said."""
        reply, _ = await self.post("/seed_session", SEED)
        session = reply.split(b"athlos-session: ", 1)[1].split(b"\r\n", 1)[0].decode()
        for _ in range(TOOLS):
            await self.post("/add", ADD, session)
        _, scored = await self.post("/verify", VERIFY, session)
        return scored

    def close(self) -> None:
        """Closes the connection."""
        self._writer.close()


async def load(port: int, token: str, each: int, *, at_once: bool) -> None:
    """Makes attempts on all connections; `at_once` opens all sessions before the first tool."""
    connections = [Connection(port, token) for _ in range(CLIENTS)]
    await asyncio.gather(*(connection.open() for connection in connections))

    async def attempts(connection: Connection) -> None:
        if at_once:
            await many(connection)
            return
        for _ in range(each):
            scored = await connection.attempt()
            assert not token or b'"reward":1.0' in scored, scored

    async def many(connection: Connection) -> None:
        sessions = []
        for _ in range(each):
            reply, _ = await connection.post("/seed_session", SEED)
            sessions.append(reply.split(b"athlos-session: ", 1)[1].split(b"\r\n", 1)[0].decode())
        for _ in range(TOOLS):
            for session in sessions:
                await connection.post("/add", ADD, session)
        for session in sessions:
            _, scored = await connection.post("/verify", VERIFY, session)
            assert b'"reward":1.0' in scored, scored

    await asyncio.gather(*(attempts(connection) for connection in connections))
    for connection in connections:
        connection.close()


def cpu_of(pid: int) -> float:
    """CPU seconds of a process up to now, of all its threads that still run."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((one / "schedstat").read_text().split()[0]) for one in threads) / 1e9


def measure(sessions: int) -> list[float]:
    """Microseconds of CPU for a request, by kind.

    The servers take turns in small parts, so that what else the machine does disturbs all alike.
    """
    each = max(sessions // CLIENTS, 1)
    parts = min(each, PARTS)
    with process("empty") as empty, process("serve") as full:
        servers = {"empty": empty, "serve": full, "many": full}
        spent = dict.fromkeys(KINDS, 0.0)

        def part(kind: str, count: int) -> None:
            pid, (port, token) = servers[kind]
            before = cpu_of(pid)
            uvloop.run(load(port, token, count, at_once=kind == "many"))
            spent[kind] += cpu_of(pid) - before

        for kind in ("empty", "serve"):
            part(kind, max(each // 10, 1))  # warm-up
        spent = dict.fromkeys(KINDS, 0.0)
        for number in range(parts):
            count = each * (number + 1) // parts - each * number // parts
            part("empty", count)
            part("serve", count)
        part("many", each)
    return [spent[kind] / (each * CLIENTS * PER_SESSION) * 1e6 for kind in KINDS]


def main() -> None:
    """Parses the command line, measures, prints and writes."""
    if sys.argv[1:2] == ["--role"]:
        uvloop.run(serve_empty() if sys.argv[2] == "empty" else serve())
        return
    made = parser(__doc__, repeats=5)
    made.add_argument("--sessions", type=int, default=6400)
    options = made.parse_args()
    sessions = CLIENTS if options.quick else options.sessions
    repeats = 1 if options.quick else options.repeats
    allow_files(4 * CLIENTS)
    runs = [measure(sessions) for _ in range(repeats)]
    table = Table(
        ("sessions at once", 18),
        ("empty, µs", 12),
        ("serve, µs", 12),
        ("ratio", 8),
        ("of runs", 14),
    )
    floor = median([run[0] for run in runs])
    for place, at_once in ((1, CLIENTS), (2, sessions)):
        cost = median([run[place] for run in runs])
        ratios = [run[place] / run[0] for run in runs if run[0]]
        ratio = statistics.median(ratios) if ratios else 0.0
        shown = spread(ratios, 2) if ratios else ""
        table.add(f"{at_once:,}", f"{floor:.0f}", f"{cost:.0f}", f"{ratio:.2f}", shown)
        write(
            options.results,
            "serve",
            {
                "sessions_at_once": at_once, "sessions": sessions, "clients": CLIENTS,
                "requests": sessions * PER_SESSION, "empty_us": round(floor, 1),
                "serve_us": round(cost, 1), "ratio": round(ratio, 3), "runs": len(runs),
            },
        )  # fmt: skip


if __name__ == "__main__":
    main()

"""What a call through the gateway costs, next to the thinnest proxy with the same libraries.

Both are a process of their own with uvicorn, httptools, uvloop and pyqwest, in front of a server
that answers at once; the CPU seconds of that process are divided by the calls. The thin proxy looks
at nothing: bytes in, bytes out. The gateway checks the key, puts the request together anew, and
records the call; `capture` also has token ids and log-probabilities of every token, which it takes
out again.

    python benchmarks/gateway.py --calls 4000
"""

import asyncio
import os
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
from fake_server import ANSWER, MODEL, MODELS, TEXT, Connection, Counters, Policy

EVENTS = 32
GAP = 0.002  # seconds between the events of a stream
LEASES = 64
TURN = 5  # calls on each connection, before it is the other's turn
PROMPT = [
    {"role": "system", "content": "You solve problems. Put the answer in \\boxed{}. " * 8},
    {"role": "user", "content": "Solve 3x + 7 = 43 for x and explain each step. " * 8},
]
CAPTURE = {"logprobs": True, "top_logprobs": 0, "return_token_ids": True}
TOKENS = 3  # in an event


# The server behind


def _chunk(fields: dict[str, Any]) -> bytes:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    event = b"data: " + msgspec.json.encode({**head, **fields}) + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(event), event)


def _entry(place: int) -> dict[str, Any]:
    token = f"tok{place}"
    return {"token": token, "logprob": -0.25, "bytes": [116, 111, 107], "top_logprobs": []}


def _events(*, tokens: bool) -> list[bytes]:
    """The chunks of a streamed reply, with token ids or without."""
    size = len(TEXT) // EVENTS + 1
    first: dict[str, Any] = {"index": 0, "delta": {"role": "assistant", "content": ""}}
    made = [_chunk({"choices": [first], **({"prompt_token_ids": [7] * 182} if tokens else {})})]
    for place in range(EVENTS):
        text = TEXT[place * size : (place + 1) * size]
        choice: dict[str, Any] = {"index": 0, "delta": {"content": text}, "finish_reason": None}
        if tokens:
            ids = list(range(place * TOKENS, (place + 1) * TOKENS))
            choice |= {"token_ids": ids, "logprobs": {"content": [_entry(i) for i in ids]}}
        made.append(_chunk({"choices": [choice]}))
    made.append(_chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
    usage = {"prompt_tokens": 182, "completion_tokens": EVENTS * TOKENS}
    made.append(_chunk({"choices": [], "usage": usage}))
    made.append(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
    return made


def _whole() -> bytes:
    """A reply that is not streamed, with token ids."""
    body = ANSWER.partition(b"\r\n\r\n")[2]
    value = msgspec.json.decode(body)
    count = value["usage"]["completion_tokens"]
    value["prompt_token_ids"] = [7] * value["usage"]["prompt_tokens"]
    ids = list(range(count))
    value["choices"][0] |= {"token_ids": ids, "logprobs": {"content": [_entry(i) for i in ids]}}
    body = msgspec.json.encode(value)
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
STREAMS = {tokens: _events(tokens=tokens) for tokens in (False, True)}
WHOLE = {False: ANSWER, True: _whole()}


class Streaming(Connection):
    """The fake server's connection, which also streams and sends token ids."""

    def answer(self, head: bytes, body: bytes) -> None:
        """Answers a chat request at once, or event by event."""
        if not head.startswith(b"post"):
            self.transport.write(MODELS)
            return
        tokens = b'"return_token_ids":true' in body
        if b'"stream":true' not in body:
            self.transport.write(WHOLE[tokens])
            return
        self.transport.write(HEAD)
        self.more(iter(STREAMS[tokens]))

    def more(self, events: Iterator[bytes]) -> None:
        """Writes the next event, and sees to the one after it."""
        event = next(events, None)
        if event is not None and not self.transport.is_closing():
            self.transport.write(event)
            self.call_later(GAP, self.more, events)


async def serve_upstream() -> None:
    """Serves until standard input closes."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Streaming(Policy(), 0.0, Counters()), "127.0.0.1", 0, backlog=4096
    )
    _report(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
    await _stdin_closed()


# The two in the middle


async def serve_thin(upstream: str) -> None:
    """The thinnest proxy: what comes goes on, chunk by chunk."""
    import uvicorn
    from pyqwest import Client, Headers, HTTPTransport

    transport = HTTPTransport(pool_max_idle_per_host=4096, enable_otel=False)
    client = Client(transport)
    headers = Headers([("content-type", "application/json"), ("authorization", "Bearer fake")])
    url = f"{upstream}/chat/completions"
    json_type = [(b"content-type", b"application/json")]
    stream_type = [(b"content-type", b"text/event-stream")]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message["more_body"]:
                break
        start = {"type": "http.response.start"}
        if b'"stream":true' not in body:
            reply = await client.execute("POST", url, headers, body)
            content = bytes(reply.content)
            length = (b"content-length", str(len(content)).encode())
            await send({**start, "status": reply.status, "headers": [*json_type, length]})
            await send({"type": "http.response.body", "body": content})
            return
        async with client.stream("POST", url, headers, body) as reply:
            await send({**start, "status": reply.status, "headers": stream_type})
            async for chunk in reply.content:
                piece = {"type": "http.response.body", "body": bytes(chunk), "more_body": True}
                await send(piece)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            port = self.servers[0].sockets[0].getsockname()[1]
            _report({"urls": [f"http://127.0.0.1:{port}/v1"], "keys": [""]})

    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, http="httptools", ws="none", lifespan="off", backlog=4096,
        log_config=None, log_level="critical", access_log=False, server_header=False,
    )  # fmt: skip
    server = Server(config)
    serving = asyncio.create_task(server.serve())
    await _stdin_closed()
    server.should_exit = True
    await serving
    await transport.aclose()


async def serve_gateway(upstream: str, *, capture: bool) -> None:
    """The gateway, with as many rollouts as there are connections."""
    from athlos import Model, Rollout
    from athlos.gateway import Gateway
    from athlos.models.token_modes import Capture

    class Asking(Capture):
        """Capture of a server that need not be looked at first."""

        async def connect(self, model: Model, sampling: Any) -> None:
            self._ask = CAPTURE

    async with Model(upstream, MODEL, tokens=Asking() if capture else None) as model:
        await model.connect()
        async with Gateway(model) as gateway:
            rollouts = [Rollout(f"r{n}", f"r{n}", 0, "bench", MODEL) for n in range(LEASES)]
            leases = [gateway.open(rollout, model.session()) for rollout in rollouts]
            urls = [lease.base_url for lease in leases]
            _report({"urls": urls, "keys": [lease.api_key for lease in leases]})
            await _stdin_closed()
            for lease in leases:
                lease.close()


async def _stdin_closed() -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()


def _report(value: Any) -> None:
    print(msgspec.json.encode(value).decode(), flush=True)


@contextmanager
def process(*arguments: str) -> Iterator[tuple[int, Any]]:
    """Runs a role of this file; yields its process and what it reported."""
    command = [sys.executable, __file__, "--role", *arguments]
    pipe = subprocess.PIPE
    child = subprocess.Popen(command, stdin=pipe, stdout=pipe)
    assert child.stdin is not None and child.stdout is not None
    try:
        line = child.stdout.readline()
        if not line:
            raise RuntimeError(f"{arguments} did not start")
        yield child.pid, msgspec.json.decode(line)
    finally:
        child.stdin.close()
        child.wait(30)


# The load


async def ask(url: str, key: str, body: bytes, calls: int) -> int:
    """Makes calls one after another on one connection; returns how many bytes came."""
    host, _, rest = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    reader, writer = await asyncio.open_connection(name, int(port))
    head = (
        f"POST /{rest}/chat/completions HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n"
    )
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    request = head.encode() + body
    received = 0
    for _ in range(calls):
        writer.write(request)
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"refused: {answer!r} {await reader.read(500)!r}")
        at = answer.lower().find(b"content-length:")
        if at >= 0:
            received += len(await reader.readexactly(int(answer[at + 15 :].split(b"\r\n", 1)[0])))
        else:
            received += len(await reader.readuntil(b"0\r\n\r\n"))
    writer.close()
    return received


def cpu_of(pid: int) -> float:
    """CPU seconds of a process up to now, of all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def load(reported: Any, body: bytes, calls: int) -> None:
    """Makes that many calls on each of as many connections as there are rollouts."""
    urls, keys = reported["urls"], reported["keys"]
    await asyncio.gather(
        *(ask(urls[n % len(urls)], keys[n % len(keys)], body, calls) for n in range(LEASES))
    )


def measure(upstream: str, *, stream: bool, capture: bool, calls: int) -> tuple[float, float]:
    """Microseconds of CPU for a call through the thin proxy, and through the gateway.

    Both stand ready, and take turns of a few calls, so that what else the machine does, and the
    speed that it happens to have, is the same for both.
    """
    asked: dict[str, Any] = {
        "model": MODEL, "messages": PROMPT, "temperature": 1.0, "max_tokens": 1024
    }  # fmt: skip
    if stream:
        asked["stream"] = True
    bodies = [msgspec.json.encode(asked | (CAPTURE if capture else {})), msgspec.json.encode(asked)]
    turns = max(calls // LEASES // TURN, 1)
    with process("thin", upstream) as thin, process(
        "capture" if capture else "gateway", upstream
    ) as gateway:  # fmt: skip
        sides = list(zip((thin, gateway), bodies, strict=True))
        for (_, reported), body in sides:
            uvloop.run(load(reported, body, TURN))  # warm-up
        before = [cpu_of(pid) for (pid, _), _ in sides]
        for turn in range(turns):
            for (_, reported), body in sides if turn % 2 else reversed(sides):
                uvloop.run(load(reported, body, TURN))
        after = [cpu_of(pid) for (pid, _), _ in sides]
    each = [(b - a) / (turns * TURN * LEASES) * 1e6 for a, b in zip(before, after, strict=True)]
    return each[0], each[1]


def main() -> None:
    """Parses the command line, measures, prints and writes."""
    if sys.argv[1:2] == ["--role"]:
        role, *rest = sys.argv[2:]
        if role == "upstream":
            uvloop.run(serve_upstream())
        elif role == "thin":
            uvloop.run(serve_thin(*rest))
        else:
            uvloop.run(serve_gateway(*rest, capture=role == "capture"))
        return
    made = parser(__doc__, repeats=5)
    made.add_argument("--calls", type=int, default=6400)
    options = made.parse_args()
    calls = LEASES if options.quick else options.calls
    repeats = 1 if options.quick else options.repeats
    allow_files(4 * LEASES)
    table = Table(("", 28), ("thin, µs", 12), ("gateway, µs", 12), ("ratio", 8), ("of runs", 14))
    with process("upstream") as (_, upstream):
        for stream in (False, True):
            for capture in (False, True):
                runs = [
                    measure(upstream, stream=stream, capture=capture, calls=calls)
                    for _ in range(repeats)
                ]
                floor, cost = (median([run[n] for run in runs]) for n in (0, 1))
                ratios = [run[1] / run[0] for run in runs if run[0]]
                ratio = statistics.median(ratios) if ratios else 0.0
                name = f"{'streamed' if stream else 'whole'}{', captured' * capture}"
                shown = spread(ratios, 2) if ratios else ""
                table.add(name, f"{floor:.0f}", f"{cost:.0f}", f"{ratio:.2f}", shown)
                write(
                    options.results,
                    "gateway",
                    {
                        "stream": stream, "capture": capture, "calls": calls,
                        "in_flight": LEASES, "events": EVENTS if stream else 0,
                        "thin_us": round(floor, 1), "gateway_us": round(cost, 1),
                        "ratio": round(ratio, 3), "runs": len(runs),
                    },
                )  # fmt: skip


if __name__ == "__main__":
    main()

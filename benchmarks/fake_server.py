"""A fake OpenAI-compatible model server, lighter than any client it is used to measure.

Run it as its own process, `python benchmarks/fake_server.py --port 8000 --latency 0.05`, or from
another benchmark with `with running(latency=0.05) as base_url: ...`. It answers
`POST .../chat/completions` after a fixed latency, `GET .../models` at once, and `GET .../counters`
with what it has seen; HTTP/1.1 keep-alive, on 127.0.0.1 only.
"""

import argparse
import asyncio
import resource
import subprocess
import sys
import time
import urllib.request
from collections import deque
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from typing import Any, cast

import msgspec
import uvloop

MODEL = "fake-model"
TEXT = (
    "First subtract 7 from both sides, which leaves 3x = 36. Dividing both sides by 3 gives "
    "x = 12. Substituting back, 3 * 12 + 7 = 43, so the value satisfies the equation. "
    "The answer is \\boxed{12}."
)


class _Message(msgspec.Struct):
    role: str


class _Function(msgspec.Struct):
    name: str


class _Tool(msgspec.Struct):
    function: _Function


class _Request(msgspec.Struct):
    messages: list[_Message]
    tools: list[_Tool] | None = None


_decode = msgspec.json.Decoder(_Request).decode


def _http(status: str, document: Any) -> bytes:
    body = msgspec.json.encode(document)
    headers = f"content-type: application/json\r\ncontent-length: {len(body)}"
    return f"HTTP/1.1 {status}\r\n{headers}\r\n\r\n".encode() + body


def _completion(message: dict[str, Any], finish_reason: str) -> bytes:
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
    usage = {"prompt_tokens": 182, "completion_tokens": 74, "total_tokens": 256}
    return _http(
        "200 OK",
        {
            "id": "chatcmpl-0f2f7c5e9b1d4c53a1f3f0c2a7de9b10",
            "object": "chat.completion",
            "created": 1760000000,
            "model": MODEL,
            "choices": [choice],
            "usage": usage,
            "service_tier": None,
            "system_fingerprint": None,
            "prompt_logprobs": None,
        },
    )


ANSWER = _completion({"role": "assistant", "content": TEXT, "tool_calls": None}, "stop")
MODELS = _http("200 OK", {"object": "list", "data": [{"id": MODEL, "object": "model"}]})
NOT_FOUND = _http("404 Not Found", {"error": {"message": "no such path", "type": "not_found"}})
BAD_REQUEST = _http("400 Bad Request", {"error": {"message": "bad request", "type": "invalid"}})

# Each listener has a queue of at most `net.core.somaxconn` connections (4096 by default). Several
# on one port take 10,000 clients at once; a full queue makes them wait for a second or more.
_LISTENERS = 4
_BACKLOG = 4096


class Counters(msgspec.Struct):
    """What the server has seen, and what it took.

    Attributes:
        chats: Chat requests.
        waiting: Chat requests that were not answered yet; `peak` is the most there ever were.
        open: Connections; `peak_open` is the most there ever were.
        cpu: CPU seconds of the server.
    """

    chats: int = 0
    waiting: int = 0
    peak: int = 0
    open: int = 0
    peak_open: int = 0
    cpu: float = 0.0


class Policy:
    """Decides the reply: a tool call in the first `tool_calls` calls of a conversation, then text.

    The call's number is the number of assistant messages in the request; a request without tools
    always gets text. The first tool offered is called with `arguments`.
    """

    def __init__(self, tool_calls: int = 0, arguments: str = "{}") -> None:
        self.tool_calls = tool_calls
        self.arguments = arguments

    def reply(self, body: bytes) -> bytes:
        """Returns the whole HTTP response to one chat request."""
        if not self.tool_calls:
            return ANSWER
        try:
            request = _decode(body)
        except msgspec.MsgspecError:
            return BAD_REQUEST
        call = sum(message.role == "assistant" for message in request.messages)
        if call >= self.tool_calls or not request.tools:
            return ANSWER
        function = {"name": request.tools[0].function.name, "arguments": self.arguments}
        tool_call = {"id": f"call_{call}", "type": "function", "function": function}
        message = {"role": "assistant", "content": None, "tool_calls": [tool_call]}
        return _completion(message, "tool_calls")


class Connection(asyncio.Protocol):
    """One keep-alive connection: as little HTTP/1.1 as a well-behaved client needs."""

    def __init__(self, policy: Policy, latency: float, counters: Counters) -> None:
        self.policy = policy
        self.latency = latency
        self.counters = counters
        self.buffer = b""
        self.replies: deque[bytes] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport to write to."""
        # uvloop's transport is an asyncio.Transport by shape, not by class.
        self.transport = cast(asyncio.Transport, transport)
        self.call_later = asyncio.get_running_loop().call_later
        counters = self.counters
        counters.open += 1
        counters.peak_open = max(counters.peak_open, counters.open)

    def connection_lost(self, exc: Exception | None) -> None:
        """Counts the connection out."""
        self.counters.open -= 1

    def data_received(self, data: bytes) -> None:
        """Answers each complete request; keeps the rest for the next packet."""
        data = self.buffer + data if self.buffer else data
        while (head_end := data.find(b"\r\n\r\n")) >= 0:
            head = data[:head_end].lower()
            length = 0
            if (at := head.find(b"\r\ncontent-length:")) >= 0:
                length = int(head[at + 17 :].split(b"\r\n", 1)[0])
            end = head_end + 4 + length
            if len(data) < end:
                break
            self.answer(head, data[head_end + 4 : end])
            data = data[end:]
        self.buffer = data

    def answer(self, head: bytes, body: bytes) -> None:
        """Writes the reply to one request, a chat reply after the latency."""
        method, path = head.split(b" ", 2)[:2]
        if method == b"post" and path.endswith(b"/chat/completions"):
            reply = self.policy.reply(body)
            counters = self.counters
            counters.chats += 1
            if self.latency:
                counters.waiting += 1
                if counters.waiting > counters.peak:
                    counters.peak = counters.waiting
                self.replies.append(reply)
                self.call_later(self.latency, self.write_next)
                return
        elif path.endswith(b"/counters"):
            self.counters.cpu = time.process_time()
            reply = _http("200 OK", self.counters)
        else:
            reply = MODELS if path.endswith(b"/models") else NOT_FOUND
        self.transport.write(reply)

    def write_next(self) -> None:
        """Writes the oldest reply that waits; the client may have gone meanwhile."""
        self.counters.waiting -= 1
        reply = self.replies.popleft()
        if not self.transport.is_closing():
            self.transport.write(reply)


async def serve(port: int, latency: float, policy: Policy, *, with_stdin: bool = False) -> None:
    """Serves on 127.0.0.1 until cancelled; prints the base URL when it listens.

    With `with_stdin` it also ends when standard input closes, so that it never outlives its parent.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    loop = asyncio.get_running_loop()
    counters = Counters()
    async with AsyncExitStack() as stack:
        for _ in range(_LISTENERS):
            server = await loop.create_server(
                lambda: Connection(policy, latency, counters),
                "127.0.0.1",
                port,
                backlog=_BACKLOG,
                reuse_port=True,
            )
            await stack.enter_async_context(server)
            port = server.sockets[0].getsockname()[1]
        print(f"http://127.0.0.1:{port}/v1", flush=True)
        ended = asyncio.Event()
        if with_stdin:
            loop.add_reader(sys.stdin.fileno(), ended.set)
        await ended.wait()


def read_counters(base_url: str) -> Counters:
    """What the server at that URL has seen up to now."""
    with urllib.request.urlopen(f"{base_url}/counters") as response:
        return msgspec.json.decode(response.read(), type=Counters)


@contextmanager
def running(*, latency: float = 0.0, tool_calls: int = 0, arguments: str = "{}") -> Iterator[str]:
    """Runs the server in a process of its own; yields its base URL, `http://127.0.0.1:PORT/v1`."""
    command = [sys.executable, __file__, "--port", "0", "--latency", str(latency)]
    command += ["--tool-calls", str(tool_calls), "--arguments", arguments, "--with-stdin"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
    try:
        assert process.stdout is not None
        base_url = process.stdout.readline().strip()
        if not base_url:
            raise RuntimeError("the fake server did not start")
        yield base_url
    finally:
        process.terminate()
        process.wait(10)


def main() -> None:
    """Parses the command line and serves until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before a chat reply")
    parser.add_argument("--tool-calls", type=int, default=0, help="tool calls per conversation")
    parser.add_argument("--arguments", default="{}", help="JSON arguments of each tool call")
    parser.add_argument("--with-stdin", action="store_true", help="end when stdin closes")
    options = parser.parse_args()
    policy = Policy(options.tool_calls, options.arguments)
    with suppress(KeyboardInterrupt):
        uvloop.run(serve(options.port, options.latency, policy, with_stdin=options.with_stdin))


if __name__ == "__main__":
    main()

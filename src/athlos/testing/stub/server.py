"""The stub server itself: a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import hmac
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Literal

from athlos.errors import ConfigError
from athlos.testing.stub.dialect import Dialect, Settings
from athlos.testing.stub.distribution import Distribution
from athlos.testing.stub.drift import Drift
from athlos.testing.stub.engine import Engine
from athlos.testing.stub.faults import StubFaults
from athlos.testing.stub.http import Connection, Counters, HttpError, Reply, Request
from athlos.testing.stub.llamacpp import LlamaCpp
from athlos.testing.stub.nemo_rl import NemoRL
from athlos.testing.stub.openai_chat import Plain
from athlos.testing.stub.policy import Policy, ToolPolicy
from athlos.testing.stub.sglang import Sglang
from athlos.testing.stub.tokenizer import ChatTokenizer
from athlos.testing.stub.vllm import Vllm

__all__ = ["DIALECTS", "StubServer", "stub_server"]

DIALECTS: dict[str, type[Dialect]] = {
    dialect.name: dialect for dialect in (Vllm, Sglang, NemoRL, LlamaCpp, Plain)
}
_tokenizer = lru_cache(maxsize=4)(ChatTokenizer)
_DEADLINE = 10.0  # seconds to start, and to stop


class StubServer:
    """A running stub; `stub_server` makes one.

    Attributes:
        faults: What goes wrong; may be changed at any time.
        counters: What it has seen.
        tokenizer: The one it uses, for tests that compare.
    """

    def __init__(
        self,
        dialect: type[Dialect],
        settings: Settings,
        tokenizer: ChatTokenizer,
        policy: Policy,
        distribution: Distribution,
        drift: Drift,
        faults: StubFaults,
        *,
        seed: int,
        max_len: int,
        api_key: str | None,
        port: int,
    ) -> None:
        self.faults = faults
        self.counters = Counters()
        self.tokenizer = tokenizer
        self._engine = Engine(
            tokenizer, policy, distribution, drift, faults, seed=seed, max_len=max_len
        )
        self._dialect = dialect(self._engine, settings)
        self._routes = self._dialect.routes()
        self._api_key = api_key
        self._port = port
        self._started = threading.Event()
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._serve, name="athlos stub", daemon=True)

    @property
    def root(self) -> str:
        """Where the server is."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """Its base URL, as clients want it."""
        return f"{self.root}/v1"

    @property
    def running(self) -> int:
        """How many samples are under way."""
        return self._engine.running

    @property
    def sampled(self) -> int:
        """How many tokens were sampled up to now."""
        return self._engine.sampled

    def start(self) -> None:
        """Begins to listen.

        Raises:
            ConfigError: The port is taken.
        """
        self._loop = asyncio.new_event_loop()
        self._thread.start()
        if not self._started.wait(_DEADLINE):
            raise TimeoutError("the stub server did not start")
        if self._failure is not None:
            self._thread.join(_DEADLINE)
            raise ConfigError(
                f"the stub server cannot listen on port {self._port}: {self._failure}",
                hint="choose another, or 0 for any",
            )

    def stop(self) -> None:
        """Ends the thread, and with it every connection."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(_DEADLINE)

    def wait(self) -> None:
        """Until something else stops it."""
        self._thread.join()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._main())
        except OSError as e:
            self._failure = e
        finally:
            self._started.set()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _main(self) -> None:
        self._stop = asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()
        open_now: set[Connection] = set()
        server = await self._loop.create_server(
            lambda: Connection(self._handle, self.counters, tasks, open_now),
            "127.0.0.1",
            self._port,
            backlog=4096,
        )
        self._port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        left = list(tasks)
        for connection in list(open_now):
            connection.abort()
        await asyncio.sleep(0)
        await asyncio.gather(*left, return_exceptions=True)

    async def _handle(self, request: Request) -> Reply:
        try:
            return await self._answer(request)
        except HttpError as e:
            return e.reply
        except Exception as e:  # noqa: BLE001 - a policy's mistake: the test has to see it
            self.counters.errors.append(f"{type(e).__name__}: {e}")
            return Reply({"error": {"message": f"the stub failed: {e!r}"}}, 500)

    async def _answer(self, request: Request) -> Reply:
        faults, dialect = self.faults, self._dialect
        if self._api_key is not None and request.path != "/health":
            given = request.headers.get("authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {self._api_key}".encode()):
                raise HttpError(401, {"error": "Unauthorized"})
        if faults.latency:
            await asyncio.sleep(faults.latency)
        route = self._routes.get(f"{request.method} {request.path}")
        if route is None:
            raise dialect.not_found()
        if request.path in dialect.samples_at and faults.busy > 0:
            faults.busy -= 1
            error = {
                "message": "too many requests",
                "type": "rate_limit",
                "code": faults.busy_status,
            }
            after = faults.retry_after
            headers = {} if after is None else {"retry-after": f"{after:g}"}
            raise HttpError(faults.busy_status, {"error": error}, headers)
        return await route(request)


@contextmanager
def stub_server(
    dialect: str = "vllm",
    *,
    tokenizer: Path,
    policy: Policy | None = None,
    drift: Collection[str] = (),
    faults: StubFaults | None = None,
    logprobs: Literal["raw", "processed"] = "raw",
    seed: int = 0,
    model: str = "tiny",
    max_len: int = 32768,
    api_key: str | None = None,
    scale_out: bool = False,
    generate_style: Literal["token_id", "token"] = "token_id",
    reasoning: bool = True,
    tools: bool = True,
    step: int = 1,
    port: int = 0,
) -> Iterator[StubServer]:
    """Serves a stub on 127.0.0.1 while the block runs.

        with stub_server("vllm", tokenizer=folder) as stub:
            ...  # stub.url, stub.root, stub.counters, stub.faults

    What it answers depends on its seed and on a request's content, never on the order in which
    requests come.

    Args:
        dialect: A key of `DIALECTS`: vllm, sglang, nemo_rl, llamacpp or plain.
        tokenizer: The folder of tokenizer and chat template.
        policy: What the model says; `ToolPolicy()` by default.
        drift: Keys of `DRIFTS`.
        faults: What goes wrong.
        logprobs: Of which distribution they are.
        seed: Of policy and distribution.
        model: The name of the model.
        max_len: Most tokens of a prompt and its sample.
        api_key: What requests must have; nothing by default.
        scale_out: Whether vLLM's endpoints for token ids are there.
        generate_style: What vLLM's generate calls a token: `token_id`, or `token` as before.
        reasoning: Whether the server tells reasoning from content.
        tools: Whether it tells tool calls from content.
        step: Tokens in an event of a stream.
        port: Where to listen; 0 takes any.

    Raises:
        ConfigError: There is no such dialect or drift, or no tokenizer; the port is taken.
    """
    if dialect not in DIALECTS:
        raise ConfigError(f"unknown dialect {dialect!r}", hint=f"there are: {', '.join(DIALECTS)}")
    reader = _tokenizer(tokenizer.resolve())
    server = StubServer(
        DIALECTS[dialect],
        Settings(
            model=model,
            scale_out=scale_out,
            generate_style=generate_style,
            reasoning=reasoning,
            tools=tools,
            step=step,
        ),
        reader,
        policy or ToolPolicy(),
        Distribution(reader.size, seed=seed, mode=logprobs),
        Drift(drift, reader),
        faults or StubFaults(),
        seed=seed,
        max_len=max_len,
        api_key=api_key,
        port=port,
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()

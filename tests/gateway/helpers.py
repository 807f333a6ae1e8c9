"""What the tests of the gateway share: a stub server, a gateway in front of it, and a client."""

import asyncio
import json
from contextlib import asynccontextmanager
from pathlib import Path

from pyqwest import Client, Headers, HTTPTransport

from athlos import Model, Rollout
from athlos.gateway import Gateway
from athlos.models.token_modes import Capture
from athlos.testing.stub import ToolPolicy, stub_server

TINY = Path(__file__).parents[1] / "data" / "tiny"
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Looks out of the window.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
QUESTION = [{"role": "user", "content": "What is the weather in Oslo?"}]


def rollout(name="a.0.0"):
    return Rollout(name, name, 0, "env", "tiny")


def echo(view):
    """Says what the last message says."""
    return str(view.messages[-1]["content"])


class Answer:
    """A reply: `status`, `headers` (names in lower case), `body`."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def events(self):
        """The JSON of each event of a stream; the word [DONE] is left out."""
        return events(self.body)


def events(body):
    lines = [line[5:].strip() for line in body.decode().split("\n") if line.startswith("data:")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


class Harness:
    """Calls the gateway as an agent would."""

    def __init__(self):
        self._transport = HTTPTransport(max_connections_per_address=2000)
        self._client = Client(self._transport)

    async def send(self, url, body=None, *, key="", method="POST", headers=None):
        sent = {"content-type": "application/json", **(headers or {})}
        if key:
            sent["authorization"] = f"Bearer {key}"
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        reply = await self._client.execute(method, url, Headers(sent), data)
        names = {name.lower(): value for name, value in reply.headers.items()}
        return Answer(reply.status, names, bytes(reply.content))

    async def post(self, lease, path, body, **options):
        return await self.send(f"{lease.base_url}{path}", body, **{"key": lease.api_key, **options})

    @asynccontextmanager
    async def stream(self, lease, path, body):
        """The chunks of a reply, as they come."""
        headers = Headers(
            {"content-type": "application/json", "authorization": f"Bearer {lease.api_key}"}
        )
        url = f"{lease.base_url}{path}"
        async with self._client.stream("POST", url, headers, json.dumps(body).encode()) as reply:
            yield reply.content

    async def close(self):
        await self._transport.aclose()


class Setting:
    """A stub, a model, a gateway and a harness, all of them running."""

    def __init__(self, stub, model, gateway, harness):
        self.stub = stub
        self.model = model
        self.gateway = gateway
        self.harness = harness
        self.lease = gateway.open(rollout(), model.session())

    async def post(self, path, body, **options):
        return await self.harness.post(self.lease, path, body, **options)

    @property
    def sent(self):
        """The bodies of the chat requests that harnesses caused."""
        paths = ("/v1/chat/completions",)
        found = [json.loads(one.body) for one in self.stub.counters.kept if one.path in paths]
        return [body for body in found if "10000 and 99999" not in str(body)]


def run(test, *, tokens=True, mode=None, stub=None, max_body=None, **options):
    """Runs `test(setting)` on a loop of its own."""
    given = {"policy": ToolPolicy(calls=1, think=True, parallel=True), **(stub or {})}

    async def main():
        dialect = given.pop("dialect", "vllm")
        with stub_server(dialect, tokenizer=TINY, **given) as server:
            found = mode or (Capture() if tokens else None)
            async with Model(server.url, tokens=found, **options) as model:
                limit = {} if max_body is None else {"max_body": max_body}
                async with Gateway(model, **limit) as gateway:
                    harness = Harness()
                    try:
                        return await asyncio.wait_for(
                            test(Setting(server, model, gateway, harness)), 60
                        )
                    finally:
                        await harness.close()

    return asyncio.run(main())


async def until(condition, seconds=10.0):
    """Waits until something holds."""
    for _ in range(int(seconds / 0.01)):
        if condition():
            return True
        await asyncio.sleep(0.01)
    return condition()

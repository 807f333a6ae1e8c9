"""What the tests of the server share: a server in this process, and clients for it."""

import asyncio
import contextlib
import http.client
import json
from contextlib import asynccontextmanager

from athlos.registry import load
from athlos.serve import EnvOptions, Options, Server

ROW = {
    "responses_create_params": {"input": [{"role": "user", "content": "Bring it to 5."}]},
    "verifier_metadata": {"target": 5},
}


@asynccontextmanager
async def serving(*environments, token="", model=None, models=None, settings=None, **options):
    """A server of these environments: names, or classes."""
    classes = [load(environment) for environment in environments]
    made = Options(
        environments=[EnvOptions(cls.name, settings or {}) for cls in classes], **options
    )
    server = Server(made, token=token, model=model, models=models, environments=classes)
    async with server:
        yield server


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
    def text(self):
        return self.body.decode()

    @property
    def code(self):
        """Of an error."""
        return self.json["error"]["code"]

    @property
    def session(self):
        return {"athlos-session": self.headers["athlos-session"]}


class Caller:
    """Asks a server, as many requests at once as wanted, each on a connection of its own."""

    def __init__(self, server, token=None):
        self._place = server.url.removeprefix("http://")
        self._token = server.token if token is None else token

    async def __call__(self, method, path, body=None, **headers):
        return await asyncio.to_thread(self.ask, method, path, body, headers)

    async def post(self, path, body=None, session=None, **headers):
        given = {**(session or {}), **{k.replace("_", "-"): v for k, v in headers.items()}}
        return await asyncio.to_thread(self.ask, "POST", path, {} if body is None else body, given)

    def ask(self, method, path, body, headers):
        sent = {k.replace("_", "-"): v for k, v in headers.items()}
        if self._token:
            sent.setdefault("authorization", f"Bearer {self._token}")
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self._place, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, data, sent)
            reply = connection.getresponse()
            names = {name.lower(): value for name, value in reply.getheaders()}
            return Answer(reply.status, names, reply.read())


class Wire:
    """One connection without threads, for hundreds of clients at once."""

    def __init__(self, server):
        host, _, port = server.url.removeprefix("http://").partition(":")
        self._place = (host, int(port))
        self._token = server.token
        self._streams = None

    async def post(self, path, body, **headers):
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._place)
        reader, writer = self._streams
        data = json.dumps(body).encode()
        lines = [f"POST {path} HTTP/1.1", "host: localhost", f"content-length: {len(data)}"]
        lines.append(f"authorization: Bearer {self._token}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *rest = head.split("\r\n")[:-2]
        names = dict(line.lower().split(": ", 1) for line in rest if ": " in line)
        exact = dict(line.split(": ", 1) for line in rest if ": " in line)
        names |= {name.lower(): value for name, value in exact.items()}
        body = await reader.readexactly(int(names.get("content-length", 0)))
        return Answer(int(first.split()[1]), names, body)

    def close(self):
        if self._streams is not None:
            self._streams[1].close()


def answered(*items):
    """A response of these items."""
    return {"output": list(items)}


def said(text):
    """A message of the model's."""
    part = {"type": "output_text", "text": text}
    return {"type": "message", "role": "assistant", "content": [part]}

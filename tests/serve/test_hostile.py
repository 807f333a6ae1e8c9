"""What a model or a stranger may send: nothing but declared tools is reached, nothing hangs."""

import asyncio
import contextlib
import socket
import urllib.parse

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serve.helpers import ROW, Caller, answered, said, serving

from athlos import Environment, Rollout, reward, tool

NAMES = [
    "__init__", "__class__", "__dict__", "__globals__", "setup", "teardown", "reached", "task",
    "config", "reply", "offered_tools", "tools", "shared", "models", "_secret", "secret",
    "../verify", "..", ".", "%2e%2e/verify", "add/", "/add", "add/..", "add%00", "add\x00", "ADD",
    "add;x", "v1", "v1/responses/x", "mcp", "{name}", "$(id)", "a" * 5000, "ä", "\U0001f600",
]  # fmt: skip
DEEP = b"[" * 100_000 + b"]" * 100_000
BODIES = [
    b"", b"null", b"1", b'"x"', b"[]", b"{", b"\xff\xfe", b'{"a": "\xff"}', b"{}" * 2, DEEP,
    b'{"a":' * 20_000 + b"1" + b"}" * 20_000, b'{"responses_create_params": 1}',
    b'{"responses_create_params": {"input": 1}}', b'{"responses_create_params": {"input": []}}',
    b'{"responses_create_params": {"input": [1]}}',
    b'{"responses_create_params": {"input": [{"type": []}]}}',
    b'{"responses_create_params": {"input": "a", "tools": 7}}',
    b'{"responses_create_params": {"input": "a", "tools": [{"name": []}]}}',
    b'{"responses_create_params": {"input": "a", "temperature": "hot"}}',
    b'{"responses_create_params": {"input": "a"}, "verifier_metadata": 5}',
    b'{"responses_create_params": {"input": "a"}, "verifier_metadata": {"target": 1e999}}',
    b'{"responses_create_params": {"input": "a"}, "response": 1}',
    b'{"responses_create_params": {"input": "a"}, "response": {"output": 1}}',
    b'{"responses_create_params": {"input": "a"}, "response": {"output": [1]}}',
    b'{"responses_create_params": {"input": "a"}, "response": {"output": [{"type": "message"}]}}',
    b'{"responses_create_params": {"input": "a"}, "response": {"output": [{"type": []}]}}',
    b'{"responses_create_params": {"input": "\\ud800"}, "response": {"output": []}}',
    b'{"verify_responses": 1}', b'{"verify_responses": [1]}', b'{"verify_responses": [{}]}',
    b'{"verify_responses": [{"reward": 1e308}, {"reward": 1e308}, {"response": 1}]}',
    b'{"n": ' + b"9" * 5000 + b"}",
]  # fmt: skip


class Guarded(Environment):
    """Has much that is no tool."""

    name = "guarded"
    touched = []

    def setup(self):
        self.count = 0

    @tool
    def add(self, amount: int) -> int:
        """Add."""
        self.count += amount
        return self.count

    def secret(self, amount: int = 0) -> str:
        Guarded.touched.append("secret")
        return "42"

    def __getattr__(self, name):
        if not name.startswith("__"):
            Guarded.touched.append(name)
        raise AttributeError(name)

    @reward
    def reached(self, rollout: Rollout) -> float:
        return float(self.count == self.task.info.get("target"))


def run(main, environment=Guarded, **options):
    async def all_of_it():
        Guarded.touched = []
        async with serving(environment, **options) as server:
            found = await main(server, Caller(server))
            return found, len(server.sessions), list(Guarded.touched)

    return asyncio.run(all_of_it())


@pytest.mark.parametrize("quoted", [True, False])
def test_only_declared_tools_are_reached(quoted):
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        found = {}
        for name in NAMES:
            path = "/" + (urllib.parse.quote(name, safe="") if quoted else name)
            if any(ord(c) < 33 or ord(c) > 126 for c in path):
                continue
            reply = await ask.post(path, {"amount": 1}, begun.session)
            found[name] = reply.status
        total = await ask.post("/add", {"amount": 0}, begun.session)
        await ask.post("/close", {}, begun.session)
        return found, total.text

    (found, total), left, touched = run(main)
    assert set(found.values()) <= {400, 404, 405}
    assert total == "0"
    assert left == 0
    assert touched == []


@pytest.mark.parametrize(
    "path",
    ["/seed_session", "/verify", "/reset", "/step", "/close", "/aggregate_metrics", "/run",
     "/v1/responses", "/add"],
)  # fmt: skip
def test_whatever_comes_is_answered_and_leaves_nothing(path):
    from athlos.testing import scripted

    async def main(server, ask):
        statuses = []
        for body in BODIES:
            reply = await ask.post(path, body)
            statuses.append(reply.status)
            if "athlos-session" in reply.headers:
                await ask.post("/close", {}, reply.session)
        begun = await ask.post("/seed_session", ROW)
        for body in BODIES:
            if path not in ("/close", "/seed_session", "/reset"):
                statuses.append((await ask.post(path, body, begun.session)).status)
        await ask.post("/close", {}, begun.session)
        return statuses

    statuses, left, _ = run(main, model=scripted("hm"))
    assert [status for status in statuses if status >= 500] == []
    assert left == 0


def test_long_bodies_are_refused_before_they_are_read():
    async def main(server, ask):
        told = await ask.post("/verify", b"x" * 2_000_000)

        def untold():
            place = server.url.removeprefix("http://").split(":")
            with contextlib.closing(socket.create_connection(place, 10)) as connection:
                head = f"POST /verify HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {ask._token}\r\n"
                connection.sendall(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
                with contextlib.suppress(OSError):
                    for _ in range(40):
                        connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                connection.settimeout(10)
                with contextlib.suppress(OSError):
                    return connection.recv(100)
                return b"HTTP/1.1 413"

        return told.status, (await asyncio.to_thread(untold))[:12]

    found, _, _ = run(main, max_body=1 << 20)
    assert found == (413, b"HTTP/1.1 413")


def test_a_long_head_is_refused():
    async def main(server, ask):
        reply = await ask("GET", "/", x_padding="x" * 100_000)
        return reply.status

    assert run(main)[0] in (400, 431)


def test_what_the_row_lacks_is_named_and_is_no_failure_of_the_server():
    async def main(server, ask):
        row = {"responses_create_params": {"input": "a"}}
        return await ask.post("/verify", {**row, "response": answered(said("done"))})

    reply, _, _ = run(main, "counter")
    assert reply.status == 422
    assert "`target`" in reply.json["error"]["message"]


def test_methods_are_as_declared():
    async def main(server, ask):
        gets = [await ask("GET", path) for path in ("/verify", "/add", "/seed_session")]
        return gets, await ask("DELETE", "/health"), await ask("HEAD", "/health")

    (gets, delete, head), _, _ = run(main)
    assert [(reply.status, reply.headers["allow"]) for reply in gets] == [(405, "POST")] * 3
    assert (delete.status, head.status, head.body) == (405, 200, b"")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "responses_create_params",
                    "response",
                    "input",
                    "output",
                    "type",
                    "role",
                    "content",
                    "verifier_metadata",
                    "tools",
                    "name",
                    "summary",
                    "arguments",
                    "text",
                    "usage",
                    "verify_responses",
                    "reward",
                    "incomplete_details",
                    "_ng_rollout_index",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@settings(max_examples=20)
@given(values=st.lists(JSON, min_size=5, max_size=20))
def test_no_shape_of_json_is_a_failure(values):
    async def main(server, ask):
        statuses = set()
        for value in values:
            body = value if isinstance(value, dict) else {"response": value}
            for path in ("/verify", "/aggregate_metrics", "/reset", "/seed_session"):
                reply = await ask.post(path, body)
                statuses.add(reply.status)
                if "athlos-session" in reply.headers:
                    await ask.post("/close", {}, reply.session)
        return statuses

    statuses, left, _ = run(main)
    assert {status for status in statuses if status >= 500} == set()
    assert left == 0

"""What nobody should send."""

import asyncio
import json

import pytest
from tests.fake_server import text
from tests.gateway.helpers import QUESTION, Harness, rollout, run

from athlos import Model, Retry
from athlos.errors import ConfigError
from athlos.gateway import Gateway
from athlos.testing import FakeTransport

CHAT = "/chat/completions"


async def raw(port, data, *, end=True):
    """Sends bytes as they are; returns what comes until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    await writer.drain()
    if end:
        writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def port_of(setting):
    return int(setting.gateway.url.rpartition(":")[2])


BODIES = [
    b"",
    b"{",
    b"[]",
    b'"text"',
    b'{"messages": [{"role": "user", "content": "\xff\xfe"}]}',
    b"[" * 100_000,
    b'{"messages": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"messages": "x", "input": 7}',
    b'{"messages": [], "input": []}',
    b'{"messages": [{"role": "user", "content": "a"}], "max_tokens": "many"}',
    b'{"messages": [{"role": "user", "content": "a"}], "max_tokens": -1}',
    b'{"input": "a", "max_output_tokens": 1.5, "stream": true}',
]


@pytest.mark.parametrize("path", [CHAT, "/responses", "/messages"])
def test_bad_bodies_are_refused(path):
    async def main(setting):
        answers = [await setting.post(path, body) for body in BODIES]
        return answers, await setting.post(CHAT, {"messages": QUESTION}), setting.lease

    answers, after, lease = run(main)
    assert [answer.status for answer in answers] == [400] * len(BODIES)
    assert {answer.json["error"]["type"] for answer in answers} == {"invalid_request_error"}
    assert after.status == 200
    assert lease.busy == 0 and len(lease.rollout.calls) == 1


FIELDS = [
    {"tools": 3},
    {"tools": ["x"]},
    {"tools": [{"type": "function", "function": 3, "input_schema": 3}]},
    {"messages": [3], "input": [3]},
    {"messages": [{"role": "user", "content": 3}], "input": [{"role": "user", "content": 3}]},
    {"messages": [{"role": "god", "content": "x"}], "input": [{"type": "spell"}]},
    {"system": 4, "instructions": 4, "messages": [], "input": []},
    {"messages": [{"role": "user", "content": [{"type": "x"}]}], "input": {"a": 1}},
    {"metadata": {"extra_body": "[1]"}, "stop_sequences": 3, "text": 3, "reasoning": [1]},
    {"stream_options": [1], "stream": True},
    {"tool_choice": {"type": []}, "tools": [{"name": "a", "type": "function", "input_schema": {}}]},
]


def test_fields_of_the_wrong_type_are_no_mistake_of_the_gateways():
    async def main():
        models = {"data": [{"id": "m"}]}
        transport = FakeTransport(
            lambda method, *_: (200, text("hi") if method == "POST" else models)
        )
        harness = Harness()
        async with Model(transport=transport) as model, Gateway(model) as gateway:
            lease = gateway.open(rollout())
            body = {"messages": QUESTION, "input": QUESTION, "max_tokens": 9}
            statuses = {
                (path, place): (await harness.post(lease, path, {**body, **fields})).status
                for path in (CHAT, "/responses", "/messages", "/messages/count_tokens")
                for place, fields in enumerate(FIELDS)
            }
        await harness.close()
        return statuses, lease

    statuses, lease = asyncio.run(main())
    assert {
        case: status for case, status in statuses.items() if status not in (200, 400, 502)
    } == {}
    assert lease.busy == 0


def test_a_body_that_is_too_long_is_refused_before_it_is_read():
    async def main(setting):
        lease = setting.lease
        long = {"messages": [{"role": "user", "content": "x" * 3000}]}
        known = await setting.post(CHAT, long)
        head = (
            f"POST /r/{lease.name}/v1{CHAT} HTTP/1.1\r\nhost: x\r\n"
            f"authorization: Bearer {lease.api_key}\r\n"
        ).encode()
        claimed = await raw(port_of(setting), head + b"content-length: 99999999999\r\n\r\n")
        head += b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
        piece = b"400\r\n" + b"y" * 0x400 + b"\r\n"
        chunked = await raw(port_of(setting), head + piece * 8, end=False)
        return known, claimed, chunked

    known, claimed, chunked = run(main, max_body=2000)
    assert known.status == 413
    assert b" 413 " in claimed
    assert b" 413 " in chunked


PATHS = [
    "/",
    "//",
    "/r",
    "/r/",
    "/r//v1/chat/completions",
    "/r/a.0.0/../b/v1/chat/completions",
    "/r/a.0.0%2f..%2fb/v1/chat/completions",
    "/r/%00/v1/chat/completions",
    "/r/a.0.0/v1/../../v1/chat/completions",
    "/r/a.0.0/v1/chat/completions/../../../b",
    "/../../etc/passwd",
    "/r/a.0.0\\v1/chat/completions",
    "http://elsewhere/r/b/v1/chat/completions",
]


def test_paths_lead_nowhere_else():
    async def main(setting):
        said = {}
        for path in PATHS:
            request = f"POST {path} HTTP/1.1\r\nhost: x\r\n"
            request += f"authorization: Bearer {setting.lease.api_key}\r\n"
            request += "connection: close\r\ncontent-length: 2\r\n\r\n{}"
            said[path] = await raw(port_of(setting), request.encode())
        return said, setting.sent

    said, sent = run(main)
    odd = {p: s for p, s in said.items() if s.split(b" ")[1] not in (b"400", b"401", b"404")}
    assert not odd
    assert not sent


def test_a_lineage_is_a_plain_name():
    async def main(setting):
        statuses = []
        for lineage in ("a b", "x" * 65, "..", "ü", "a%0ab", "ok-1.2_3"):
            url = f"{setting.lease.root}/{lineage}/v1{CHAT}".replace(" ", "%20")
            answer = await setting.harness.send(
                url, {"messages": QUESTION}, key=setting.lease.api_key
            )
            statuses.append(answer.status)
        return statuses, [call.lineage for call in setting.lease.rollout.calls]

    statuses, lineages = run(main)
    assert statuses[-1] == 200 and lineages == ["ok-1.2_3"]
    assert set(statuses[:-1]) <= {401, 404}


NO_HTTP = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/9.9\r\n\r\n",
    b"BREW /r/a/v1 HTTP/1.1\r\n\r\n",
    b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"a: " + b"x" * 100_000 + b"\r\n\r\n",
    b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000 + b"\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
]


def test_bad_http_is_refused():
    async def main(setting):
        said = [await raw(port_of(setting), data) for data in NO_HTTP]
        return said, await setting.post(CHAT, {"messages": QUESTION})

    said, after = run(main)
    assert {b"".join(one.split(b" ")[1:2]) for one in said} <= {b"400", b"401", b""}
    assert after.status == 200


def test_other_methods_are_refused():
    async def main(setting):
        methods = ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD")
        return [(await setting.post(CHAT, None, method=method)).status for method in methods]

    assert set(run(main)) == {405}


def test_what_a_server_says_reaches_the_harness_as_an_error_of_its_api():
    async def main(setting):
        long = [{"role": "user", "content": "hello " * 3000}]
        answers = [
            await setting.post(CHAT, {"messages": long}),
            await setting.post("/responses", {"input": long}),
            await setting.post("/messages", {"messages": long, "max_tokens": 5}),
            await setting.post(CHAT, {"messages": long, "stream": True}),
        ]
        return answers, setting.lease

    answers, lease = run(main, stub={"max_len": 1000})
    assert {answer.status for answer in answers} == {400}
    assert {answer.headers["x-should-retry"] for answer in answers} == {"false"}
    chat, responses, messages, streamed = (answer.json for answer in answers)
    assert chat["error"]["code"] == "context_length_exceeded"
    assert chat == responses == streamed
    assert messages["type"] == "error"
    assert messages["error"]["message"].startswith("prompt is too long")
    assert [type(error).__name__ for error in lease.errors] == ["ContextOverflow"] * 4
    assert lease.rollout.calls == []


def test_a_server_that_fails_is_the_gateways_trouble():
    async def main(setting):
        setting.stub.faults.busy, setting.stub.faults.busy_status = 99, 503
        return await setting.post(CHAT, {"messages": QUESTION}), setting.lease

    answer, lease = run(main, retry=Retry(max_tries=2))
    assert answer.status == 502
    assert answer.json["error"]["code"] == "upstream_error"
    assert len(lease.errors) == 1


def test_a_port_that_is_taken_is_a_mistake():
    async def main(setting):
        with pytest.raises(ConfigError, match="cannot listen"):
            await Gateway(setting.model, port=port_of(setting)).start()
        return True

    assert run(main)


def test_json_of_an_error_is_json():
    async def main(setting):
        return await setting.post(CHAT, b'{"messages": "\\ud800"}')

    assert json.loads(run(main).body)["error"]["message"]

"""The server around the dialects: keys, counters, faults, many clients, none of them mixed up."""

import asyncio
import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
from tests.testing.stub.helpers import ASK, IDS, STREAM, TINY, WEATHER, chat, events, parsed, send

from athlos.errors import ConfigError
from athlos.testing.stub import DIALECTS, StubFaults, ToolPolicy, View, stub_server
from athlos.testing.stub.tokenizer import ChatTokenizer

STREAMS = 1000


def until(reached: Callable[[], bool]) -> bool:
    """Whether it came to that within some seconds."""
    for _ in range(500):
        if reached():
            return True
        time.sleep(0.01)
    return False


async def stream(url: str, content: str) -> str:
    """The text of a streamed reply, over a connection of its own."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        messages = [{"role": "user", "content": content}]
        body = json.dumps({"model": "tiny", "messages": messages, **STREAM, **IDS})
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}"
        writer.write(f"{head}\r\nconnection: close\r\n\r\n{body}".encode())
        raw = await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
    chunks = raw.partition(b"\r\n\r\n")[2].split(b"\r\n")[1::2]
    return b"".join(chunks).decode()


def said(text: str) -> str:
    parts = [event["choices"][0]["delta"].get("content", "") for event in parsed(text)[:-1]]
    return "".join(parts)


def echo(view: View) -> str:
    return f"You said: {view.messages[-1]['content']}"


def test_a_thousand_streams_at_once_are_not_mixed_up() -> None:
    async def all_of(url: str) -> list[str]:
        return await asyncio.gather(*(stream(url, f"number {i}") for i in range(STREAMS)))

    with stub_server(tokenizer=TINY, policy=echo, step=4) as stub:
        texts = asyncio.run(all_of(stub.url))
        assert until(lambda: stub.counters.open == 0)
        counters = stub.counters
    assert [said(text) for text in texts] == [f"You said: number {i}" for i in range(STREAMS)]
    assert counters.requests == {"POST /v1/chat/completions": STREAMS}
    assert (counters.finished, counters.cancelled, counters.in_flight) == (STREAMS, 0, 0)
    assert counters.errors == []


def test_replies_do_not_depend_on_the_order_of_requests() -> None:
    questions = [f"number {i}" for i in range(6)]

    def ask(order: list[str]) -> dict[str, str]:
        with stub_server(tokenizer=TINY) as stub:
            made = {}
            for question in order:
                messages = [{"role": "user", "content": question}]
                made[question] = json.dumps(chat(stub.url, messages, tools=[WEATHER], n=2, **IDS))
            return made

    assert ask(questions) == ask(questions[::-1])


def test_another_seed_says_something_else() -> None:
    def reply(seed: int) -> list[str]:
        with stub_server(tokenizer=TINY, seed=seed) as stub:
            choices = chat(stub.url, n=4)["choices"]
        return [choice["message"]["content"] for choice in choices]

    assert reply(1) == reply(1)
    assert reply(1) != reply(2)


def test_a_stream_says_what_a_whole_reply_says() -> None:
    policy = ToolPolicy(think=True, parallel=True)
    asked = {"model": "tiny", "messages": ASK, "tools": [WEATHER], "n": 2, **IDS, "max_tokens": 200}
    for step in (1, 3, 1000):
        with stub_server(tokenizer=TINY, policy=policy, step=step) as stub:
            whole = chat(stub.url, **{k: v for k, v in asked.items() if k != "model"} | {})
            parts = events(f"{stub.url}/chat/completions", {**asked, **STREAM})
        for choice in whole["choices"]:
            mine = [
                part["choices"][0]
                for part in parts
                if part["choices"] and part["choices"][0]["index"] == choice["index"]
            ]
            calls: dict[int, list[str]] = {}
            for call in (c for part in mine for c in part["delta"].get("tool_calls") or []):
                function = call["function"]
                pair = calls.setdefault(call["index"], ["", ""])
                pair[0] += function.get("name", "")
                pair[1] += function.get("arguments", "")
            assert [i for part in mine for i in part.get("token_ids") or []] == choice["token_ids"]
            assert [list(c["function"].values()) for c in choice["message"]["tool_calls"]] == [
                calls[place] for place in sorted(calls)
            ]
            reasoning = "".join(part["delta"].get("reasoning", "") for part in mine)
            assert reasoning == choice["message"]["reasoning"]
            told = [e for p in mine if p["logprobs"] for e in p["logprobs"]["content"]]
            assert told == choice["logprobs"]["content"]
            assert mine[-1]["finish_reason"] == choice["finish_reason"] == "tool_calls"
        assert parts[-1]["usage"]["total_tokens"] == whole["usage"]["total_tokens"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_key_is_asked_for(dialect: str) -> None:
    body = {"messages": ASK, "top_p": 1, "temperature": 1}
    with stub_server(dialect, tokenizer=TINY, api_key="open sesame") as stub:
        url = f"{stub.url}/chat/completions"
        statuses = [send(url, body, key=key)[0] for key in ("", "no", "open sesame")]
    assert statuses == [401, 401, 200]


def test_a_client_that_goes_away_leaves_nothing_behind() -> None:
    faults = StubFaults(token_delay=0.02)
    with stub_server(tokenizer=TINY, faults=faults) as stub:
        where = urlsplit(stub.url)
        body = json.dumps({"messages": ASK, "stream": True}).encode()
        with socket.create_connection((where.hostname, where.port)) as client:
            client.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body)
                + body
            )
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        assert until(lambda: stub.counters.cancelled == 1)
        assert until(lambda: stub.counters.open == 0)
        assert (stub.counters.in_flight, stub.counters.finished) == (0, 0)
        assert stub.running == 0


def test_a_client_that_does_not_wait_is_not_answered() -> None:
    with stub_server(tokenizer=TINY, faults=StubFaults(latency=60)) as stub:
        where = urlsplit(stub.url)
        with socket.create_connection((where.hostname, where.port)) as client:
            client.sendall(b"GET /v1/models HTTP/1.1\r\n\r\n")
            assert until(lambda: stub.counters.in_flight == 1)
        assert until(lambda: stub.counters.cancelled == 1)
        assert until(lambda: stub.counters.open == 0)
        assert stub.counters.finished == 0


def test_a_stub_that_stops_leaves_no_connection_open() -> None:
    with stub_server(tokenizer=TINY, faults=StubFaults(latency=60)) as stub:
        where = urlsplit(stub.url)
        client = socket.create_connection((where.hostname, where.port))
        client.sendall(b"GET /v1/models HTTP/1.1\r\n\r\n")
        assert until(lambda: stub.counters.in_flight == 1)
    client.close()
    assert (stub.counters.open, stub.counters.in_flight, stub.running) == (0, 0, 0)


def test_a_connection_serves_one_request_after_another() -> None:
    with stub_server(tokenizer=TINY) as stub:
        where = urlsplit(stub.url)
        one = b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n"
        chunked = (
            b"POST /tokenize HTTP/1.1\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
            b'b\r\n{"prompt": \r\n5\r\n"hi"}\r\n0\r\n\r\n'
        )
        with socket.create_connection((where.hostname, where.port)) as client:
            client.sendall(one + one + chunked)
            raw = b""
            while part := client.recv(65536):
                raw += part
    assert raw.count(b"HTTP/1.1 200 OK") == 3
    assert b'"tokens":' in raw


def test_busy_servers_turn_some_away() -> None:
    faults = StubFaults(busy=2, busy_status=503, retry_after=0.5)
    with stub_server(tokenizer=TINY, faults=faults) as stub:
        body = {"messages": ASK}
        replies = [send(f"{stub.url}/chat/completions", body) for _ in range(3)]
        models = send(f"{stub.url}/models", method="GET")
    assert [status for status, _, _ in replies] == [503, 503, 200]
    assert replies[0][2]["retry-after"] == "0.5"
    assert models[0] == 200


@pytest.mark.parametrize("streamed", [False, True])
def test_a_reply_breaks_off(streamed: bool) -> None:
    with stub_server(tokenizer=TINY, faults=StubFaults(disconnect_at=3)) as stub:
        url = f"{stub.url}/chat/completions"
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            send(url, {"messages": ASK, "stream": streamed})
        assert until(lambda: stub.counters.in_flight == 0)
        counts = (stub.counters.broken, stub.counters.finished, stub.counters.cancelled)
    assert counts == (1, 0, 0)


def test_log_probabilities_can_be_too_few() -> None:
    with stub_server(tokenizer=TINY, faults=StubFaults(short_logprobs=True)) as stub:
        (choice,) = chat(stub.url, **IDS)["choices"]
        streamed = events(f"{stub.url}/chat/completions", {"messages": ASK, **IDS})
    assert len(choice["logprobs"]["content"]) == len(choice["token_ids"]) - 1
    told = [len(part["choices"][0]["logprobs"]["content"]) for part in streamed[1:]]
    assert sum(told) == len(choice["token_ids"]) - 1


def test_a_log_probability_can_be_no_number() -> None:
    faults = StubFaults(bad_logprob="nan")
    with stub_server(tokenizer=TINY, faults=faults) as stub:
        url = f"{stub.url}/chat/completions"
        _, text, _ = send(url, {"messages": ASK, **IDS})
        faults.bad_logprob = "null"
        (choice,) = chat(stub.url, **IDS)["choices"]
    assert '"logprob":NaN' in text
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(text)
    assert choice["logprobs"]["content"][0]["logprob"] is None


def test_two_sources_of_ids_can_disagree() -> None:
    with stub_server(tokenizer=TINY, faults=StubFaults(disagreeing=True)) as stub:
        (choice,) = chat(stub.url, **IDS, return_tokens_as_token_ids=True)["choices"]
    named = [entry["token"] for entry in choice["logprobs"]["content"]]
    ids = [f"token_id:{at}" for at in choice["token_ids"]]
    assert named[0] != ids[0]
    assert named[1:] == ids[1:]


def test_a_fault_can_be_of_some_requests_only() -> None:
    second = StubFaults(missing_ids=True, when=lambda view: view.replies == 1)
    with stub_server(tokenizer=TINY, faults=second) as stub:
        first = chat(stub.url, **IDS)
        answered = [*ASK, {"role": "assistant", "content": "Sunny."}, *ASK]
        later = chat(stub.url, answered, **IDS)
    assert first["choices"][0]["token_ids"]
    assert later["choices"][0]["token_ids"] is None
    assert later["prompt_token_ids"] is None


def test_a_mistake_in_a_policy_is_kept_for_the_test() -> None:
    def broken(_: View) -> str:
        raise KeyError("city")

    with stub_server(tokenizer=TINY, policy=broken) as stub:
        status, text, _ = send(f"{stub.url}/chat/completions", {"messages": ASK})
        assert (status, stub.counters.errors) == (500, ["KeyError: 'city'"])
    assert "the stub failed: KeyError('city')" in text


def test_mistakes_at_the_start_are_explained(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="unknown dialect 'vlm'"),
        stub_server("vlm", tokenizer=TINY),
    ):
        pass
    with pytest.raises(ConfigError, match="no tokenizer"), stub_server(tokenizer=tmp_path):
        pass
    with (
        stub_server(tokenizer=TINY) as stub,
        pytest.raises(ConfigError, match="cannot listen on port"),
        stub_server(tokenizer=TINY, port=urlsplit(stub.url).port or 0),
    ):
        pass


@pytest.mark.parametrize("library", ["tokenizers", "jinja2"])
def test_a_missing_library_is_named(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigError, match=f"not installed: .*{library}"):
        ChatTokenizer(TINY)


def test_it_can_be_started_by_hand() -> None:
    command = [sys.executable, "-m", "athlos.testing.stub", "--tokenizer", str(TINY), "--think"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            message = chat(line.split()[-1])["choices"][0]["message"]
        finally:
            process.terminate()
    assert line.startswith("vllm stub at http://127.0.0.1:")
    assert message["reasoning"]

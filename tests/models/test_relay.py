import asyncio

import msgspec
import pytest

from athlos import ModelError
from athlos.models.chat import decode_reply
from athlos.models.relay import Relay
from athlos.models.stream import Assembler, Chunk, split
from athlos.models.transport import Response, TransportError

HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
REPLY = {
    "id": "c",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Hello",
                "reasoning_content": "Hm.",
                "tool_calls": [
                    {
                        "id": "1",
                        "type": "function",
                        "function": {"name": "f", "arguments": "{}"},
                    }
                ],
            },
            "finish_reason": "tool_calls",
            "logprobs": {"content": [{"token": "a", "logprob": -0.5}]},
            "token_ids": [5],
        }
    ],
    "usage": {"prompt_tokens": 2, "completion_tokens": 1},
    "prompt_token_ids": [1, 2],
}


def chunk(delta, reason=None, *, top=None, **choice):
    fields = {"index": 0, "delta": delta, "finish_reason": reason, **choice}
    return {**HEAD, "choices": [fields], **(top or {})}


def sse(*values, end=True):
    lines = [b"data: " + msgspec.json.encode(value) + b"\n\n" for value in values]
    return b"".join(lines) + (b"data: [DONE]\n\n" if end else b"")


STREAM = sse(
    chunk({"role": "assistant", "content": ""}, top={"prompt_token_ids": [1, 2]}),
    chunk({"content": "Hel"}, token_ids=[3], logprobs={"content": [{"logprob": -1.0}]}),
    chunk({"content": "lo"}, token_ids=[4, 5], logprobs={"content": [{"logprob": -2}] * 2}),
    chunk({}, "stop"),
    {**HEAD, "choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 3}},
)


class Pieces:
    """A transport that streams the given pieces, and then raises or ends."""

    def __init__(self, *pieces, error=None, status=200, wait=0.0):
        self.pieces, self.error, self.status, self.wait = pieces, error, status, wait
        self.bodies = []

    async def stream(self, method, path, body, feed):
        self.bodies.append(msgspec.json.decode(body))
        if self.status != 200:
            return Response(self.status, {}, self.pieces[0])
        for piece in self.pieces:
            await asyncio.sleep(self.wait)
            await feed(piece)
        if self.error:
            raise self.error
        return Response(200, {}, b"")


class Whole:
    """A transport that cannot stream."""

    def __init__(self, body):
        self.body = body

    async def send(self, method, path, body=None):
        return Response(200, {}, self.body)


def relay(transport, *, first=5.0, total=5.0):
    heard = []

    async def sink(events):
        heard.append(events)

    made = Relay({"messages": []}, sink)

    async def main():
        return await made.exchange(transport, first, total)

    try:
        return made, heard, asyncio.run(main())
    except (ModelError, TransportError, TimeoutError) as error:
        return made, heard, error


def said(heard):
    return "".join(
        e.chunk.choices[0].delta.content or "" for b in heard for e in b if e.chunk.choices
    )


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_a_stream_in_any_pieces_is_passed_on_and_put_together(size):
    pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    made, heard, response = relay(Pieces(*pieces))
    assert said(heard) == "Hello"
    reply = msgspec.json.decode(response.body)
    assert reply["prompt_token_ids"] == [1, 2]
    choice = reply["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Hello", "stop")
    assert choice["token_ids"] == [3, 4, 5]
    assert [entry["logprob"] for entry in choice["logprobs"]["content"]] == [-1, -2, -2]
    assert reply["usage"]["completion_tokens"] == 3
    assert made.body == response.body


def test_lines_may_end_in_carriage_returns_and_hold_comments():
    stream = b": ping\r\n\r\n" + STREAM.replace(b"\n", b"\r\n")
    assert said(relay(Pieces(stream))[1]) == "Hello"


def test_the_request_asks_for_a_stream_and_its_usage():
    transport = Pieces(STREAM)
    relay(transport)
    sent = transport.bodies[0]
    assert sent["stream"] is True and sent["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    "transport", [Whole(msgspec.json.encode(REPLY)), Pieces(b" " + msgspec.json.encode(REPLY))]
)
def test_a_whole_reply_is_split_into_events(transport):
    made, heard, response = relay(transport)
    assert said(heard) == "Hello"
    assert decode_reply(response.body).message.tool_calls[0].function.name == "f"
    assembled = Assembler()
    for event in heard[0]:
        assembled.add(event.chunk)
    again = msgspec.json.decode(assembled.encode())
    assert again["choices"] == REPLY["choices"] and again["prompt_token_ids"] == [1, 2]
    assert made.begun


def test_failures_before_the_first_event_may_be_tried_again():
    broken = TransportError("reset", "broken")
    made, heard, error = relay(Pieces(b": ping\n\n", error=broken))
    assert error is broken and not made.begun and not heard


def test_failures_after_the_first_event_may_not():
    half = STREAM[: len(STREAM) // 2]
    for transport in (Pieces(half, error=TransportError("reset", "broken")), Pieces(half)):
        made, heard, error = relay(transport)
        assert made.begun and heard
        assert isinstance(error, ModelError) and not error.retryable
        assert "broke off" in error.message


def test_what_came_until_then_is_there():
    made, _, _ = relay(Pieces(sse(chunk({"content": "Hel"}, token_ids=[3]), end=False)))
    reply = made.partial()
    assert (reply.message.content, reply.choices[0].token_ids) == ("Hel", [3])


def test_the_first_event_has_a_time_limit_of_its_own():
    made, _, error = relay(Pieces(STREAM, wait=1.0), first=0.05)
    assert isinstance(error, TimeoutError) and not made.begun
    made, heard, _ = relay(Pieces(STREAM[:200], STREAM[200:], wait=0.15), first=0.25)
    assert said(heard) == "Hello"


def test_the_whole_has_a_time_limit():
    made, _, error = relay(Pieces(STREAM[:250], STREAM[250:], wait=0.3), total=0.4)
    assert made.begun
    assert isinstance(error, ModelError) and not error.retryable


def test_an_error_in_the_stream_is_one():
    _, _, error = relay(Pieces(sse({"error": {"message": "out of memory", "code": 503}})))
    assert (error.status, error.retryable) == (503, True)
    late = sse(chunk({"content": "a"}), end=False) + sse({"error": {"message": "oh", "code": 503}})
    made, _, error = relay(Pieces(late[:200], late[200:]))
    assert not error.retryable or not made.begun


def test_an_event_that_is_no_chunk_is_an_error():
    _, _, error = relay(Pieces(b"data: {nonsense\n\n"))
    assert isinstance(error, ModelError) and error.retryable


def test_an_error_status_is_the_response():
    _, heard, response = relay(Pieces(b'{"error": "no"}', status=400))
    assert (response.status, heard) == (400, [])


def test_a_recalled_stream_is_not_begun_again():
    async def main():
        async def sink(events):
            pass

        made = Relay({}, sink)
        await made.exchange(Pieces(STREAM), 5, 5)
        with pytest.raises(ModelError, match="recalled by a pause") as caught:
            await made.exchange(Pieces(STREAM), 5, 5)
        return caught.value

    assert not asyncio.run(main()).retryable


def assembled(*values):
    made = Assembler()
    for value in values:
        made.add(msgspec.json.decode(msgspec.json.encode(value), type=Chunk))
    return msgspec.json.decode(made.encode())


def test_tool_calls_come_in_parts():
    def part(index=None, **fields):
        function = {key: fields.pop(key) for key in ("name", "arguments") if key in fields}
        place = {} if index is None else {"index": index}
        return chunk({"tool_calls": [{**place, "function": function, **fields}]})

    calls = assembled(
        part(0, id="a", name="f", arguments=""),
        part(0, arguments='{"x":'),
        part(1, id="b", name="g"),
        part(0, arguments="1}"),
        part(1, arguments="{}"),
    )["choices"][0]["message"]["tool_calls"]
    assert [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in calls] == [
        ("a", "f", '{"x":1}'),
        ("b", "g", "{}"),
    ]
    unnumbered = assembled(
        part(id="a", name="f"), part(arguments="{}"), part(id="b", name="g", arguments="{}")
    )["choices"][0]["message"]["tool_calls"]
    assert [(c["id"], c["function"]["arguments"]) for c in unnumbered] == [("a", "{}"), ("b", "{}")]


def test_choices_reasoning_and_weight_versions_are_kept_apart():
    spans = [{"version": "1", "start": 0, "end": 2}]
    more = [*spans, {"version": "2", "start": 2, "end": 4}]
    two = [
        {"index": 1, "delta": {"reasoning": "b"}},
        {"index": 0, "delta": {"reasoning": "a", "content": "x"}, "weight_versions": spans},
    ]
    reply = assembled(
        {**HEAD, "choices": two},
        chunk({}, "stop", weight_versions=more),
    )
    zero, one = reply["choices"]
    assert (zero["message"]["reasoning"], one["message"]["reasoning"]) == ("a", "b")
    assert zero["weight_versions"] == more
    added = assembled(
        chunk({"content": "x"}, weight_versions=more[:1]), chunk({}, weight_versions=more[1:])
    )
    assert added["choices"][0]["weight_versions"] == more


def test_splitting_and_assembling_gives_the_reply():
    reply = assembled(*split(REPLY))
    assert reply["choices"] == REPLY["choices"]
    assert reply["usage"] == REPLY["usage"]

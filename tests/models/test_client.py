"""The model client: retries, deadlines and errors, over a fake transport and a real socket."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import msgspec
import pytest
from tests.fake_server import FakeServer, Fault, text

from athlos import ConfigError, ContextOverflow, Deadlines, Message, Model, ModelError, Retry
from athlos.models.transport import TransportError
from athlos.testing import FakeTransport, fake_model

QUICK = Retry(base=0.001, cap=0.002)
ENDLESS = Retry(base=0.001, cap=0.002, max_tries=1_000_000)
HELLO = [Message("user", "hello")]


def model_of(*outcomes, retry=QUICK, **options):
    """A model whose backend gives these outcomes, one a request; the last one repeats."""
    sent = []

    def handler(method, path, request):
        outcome = outcomes[min(len(sent), len(outcomes) - 1)]
        sent.append(request)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    model = Model(name="m", transport=FakeTransport(handler), retry=retry, **options)
    return model, sent


def chat(model, **options):
    return asyncio.run(model.chat(HELLO, **options))


OK = (200, text("hi"))


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 524, 529])
def test_passing_faults_are_retried(status):
    model, sent = model_of((status, b"busy"), (status, b""), OK)
    reply = chat(model)
    assert reply.message.text == "hi"
    assert reply.tries == len(sent) == 3


@pytest.mark.parametrize("kind", ["connect", "reset", "timeout", "protocol"])
def test_lost_connections_are_retried(kind):
    model, sent = model_of(TransportError(kind, "gone"), OK)
    assert chat(model).tries == len(sent) == 2


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"null", b"[]", b'{"choices": []}', b'{"choices": [{}]}', b"\xff\xfe", b"<html>"],
)
def test_nonsense_is_retried(body):
    model, sent = model_of((200, body), OK)
    assert chat(model).tries == len(sent) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 422])
def test_refusals_are_not_retried(status):
    model, sent = model_of((status, {"error": {"message": "no such thing"}}))
    with pytest.raises(ModelError, match="no such thing") as caught:
        chat(model)
    assert len(sent) == 1
    assert caught.value.status == status
    assert not caught.value.retryable


@pytest.mark.parametrize(
    "error",
    [
        {"error": {"message": "too long", "code": "context_length_exceeded", "type": "x"}},
        {"error": {"message": "This model's maximum context length is 2048 tokens."}},
        {"error": {"message": "request (9 tokens) exceeds", "type": "exceed_context_size_error"}},
        {"object": "error", "message": "The input is longer than the model's context length"},
        {"detail": "prompt is too long: 9 > 5"},
    ],
)
def test_context_overflow_is_recognised(error):
    model, sent = model_of((400, error))
    with pytest.raises(ContextOverflow):
        chat(model)
    assert len(sent) == 1


def test_max_tries_bounds_the_retries():
    model, sent = model_of((500, b"no"), retry=Retry(max_tries=4, base=0, cap=0))
    with pytest.raises(ModelError, match="HTTP 500"):
        chat(model)
    assert len(sent) == 4


def test_the_deadline_of_a_call_names_the_last_error():
    model, sent = model_of((503, b"starting"), deadlines=Deadlines(total=0.1), retry=ENDLESS)
    with pytest.raises(ModelError, match=r"within 0.1 s.*starting") as caught:
        chat(model)
    assert len(sent) > 1
    assert caught.value.retryable


def test_a_reply_that_does_not_begin_is_given_up_and_repeated():
    calls = []

    async def handler(method, path, request):
        calls.append(path)
        if len(calls) == 1:
            await asyncio.sleep(60)
        return OK

    model = Model(
        name="m",
        transport=FakeTransport(handler),
        retry=QUICK,
        deadlines=Deadlines(first_byte=0.05),
    )
    assert chat(model).tries == 2


def test_retry_after_is_a_lower_bound():
    retry = Retry(base=0.5, cap=8)
    rng = random.Random(1)
    for tries in range(1, 60):
        assert 3 <= retry.wait(tries, 3.0, rng) <= 3.5
        assert 0 <= retry.wait(tries, None, rng) <= 8


def test_retry_after_may_be_a_date():
    from athlos.models.chat import status_error
    from athlos.models.transport import Response

    when = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < status_error(Response(429, {"retry-after": when}, b"")).retry_after <= 30
    assert status_error(Response(429, {"retry-after": "soon"}, b"")).retry_after is None
    assert status_error(Response(429, {"retry-after": "-4"}, b"")).retry_after == 0


def test_retry_rules_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match="max_tries"):
        Retry(max_tries=0)


def test_sampling_is_passed_through_and_the_call_wins():
    model, sent = model_of(OK, sampling={"temperature": 1, "top_k": 5})
    chat(model, sampling={"temperature": 0, "stop": ["x"]})
    request = sent[0]
    assert (request["temperature"], request["top_k"], request["stop"]) == (0, 5, ["x"])
    assert "tools" not in request


def test_multimodal_parts_travel_untouched():
    parts = [
        {"type": "text", "text": "what is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
    ]
    model, sent = model_of(OK)
    asyncio.run(model.chat([Message("user", parts)]))
    assert sent[0]["messages"] == [{"role": "user", "content": parts}]


def test_every_choice_of_n_is_there():
    two = text("a")
    two["choices"].append({"index": 1, "message": {"content": "b"}, "finish_reason": "stop"})
    model, _ = model_of((200, two))
    assert [c.message.text for c in chat(model, sampling={"n": 2}).choices] == ["a", "b"]


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_is_read_under_both_names(name):
    model, _ = model_of((200, text("4", **{name: "2 + 2"})))
    assert chat(model).message.reasoning_content == "2 + 2"


def test_token_ids_and_logprobs_are_kept():
    reply = text("4")
    reply["prompt_token_ids"] = [1, 2, 3]
    reply["choices"][0] |= {
        "token_ids": [7, 8],
        "logprobs": {"content": [{"token": "4", "logprob": -0.5}, {"token": "", "logprob": -1}]},
    }
    model, _ = model_of((200, reply))
    found = chat(model)
    assert found.prompt_token_ids == [1, 2, 3]
    assert (found.choices[0].token_ids, found.choices[0].logprobs) == ([7, 8], [-0.5, -1])


def test_tool_arguments_may_come_as_an_object():
    reply = text("")
    function = {"name": "add", "arguments": {"amount": 3}}
    reply["choices"][0]["message"]["tool_calls"] = [{"function": function}]
    model, _ = model_of((200, reply))
    call = chat(model).message.tool_calls[0]
    assert msgspec.json.decode(call.function.arguments) == {"amount": 3}
    assert call.id


def test_the_only_model_of_a_server_is_taken():
    model = fake_model(lambda messages: "hi", name="only")
    model._name = None
    asyncio.run(model.connect())
    assert model.name == "only"


def test_an_api_key_variable_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(ConfigError, match="MY_KEY"):
        Model("http://127.0.0.1:1/v1", "m", api_key_env="MY_KEY")


@pytest.mark.parametrize("url", ["127.0.0.1:8000/v1", "ftp://x/v1", "http://", "http://[bad/v1"])
def test_unusable_base_urls_are_refused(url):
    with pytest.raises(ConfigError, match="no base URL"):
        Model(url, "m")


def test_the_key_is_in_no_representation(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-value")
    model = Model("http://127.0.0.1:1/v1", "m")
    assert "sk-secret" not in repr(model) + str(vars(model))


def test_redirects_and_proxies_are_not_followed(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")

    def chaos(request, connection):
        return Fault(307, headers={"location": "http://127.0.0.1:9/v1/chat/completions"})

    async def ask(url):
        async with Model(url, "fake", retry=QUICK) as model:
            return await model.chat(HELLO)

    with FakeServer(lambda request: text("hi")) as server:
        assert asyncio.run(ask(server.url)).message.text == "hi"
    with (
        FakeServer(lambda request: text("hi"), chaos=chaos) as server,
        pytest.raises(ModelError, match="HTTP 307"),
    ):
        asyncio.run(ask(server.url))


def test_a_cancelled_call_closes_its_connection_and_the_pool_lives_on():
    hanging = 200

    def chaos(request, connection):
        return Fault(hang=True) if request <= hanging else None

    async def main(url, server):
        async with Model(url, "fake", connections=hanging) as model:
            calls = [asyncio.create_task(model.chat(HELLO)) for _ in range(hanging)]
            while len(server.requests) < hanging:
                await asyncio.sleep(0.01)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            async with asyncio.timeout(30):
                replies = await asyncio.gather(*(model.chat(HELLO) for _ in range(hanging)))
            return [reply.message.text for reply in replies]

    with FakeServer(lambda request: text("hi"), chaos=chaos) as server:
        assert asyncio.run(main(server.url, server)) == ["hi"] * hanging


def test_a_thousand_calls_at_once():
    async def main(url):
        async with Model(url, "fake") as model:
            replies = await asyncio.gather(*(model.chat(HELLO) for _ in range(1024)))
            return {reply.message.text for reply in replies}

    with FakeServer(lambda request: text("hi"), latency=0.05) as server:
        assert asyncio.run(main(server.url)) == {"hi"}
        assert server.most_in_flight > 100


@pytest.mark.parametrize("reason", ["abort", "cancelled", "error"])
def test_a_completion_that_the_server_gave_up_is_no_answer(reason):
    given_up = text("half an ans")
    given_up["choices"][0]["finish_reason"] = reason
    model, sent = model_of((200, given_up), OK)
    assert chat(model).message.text == "hi"
    assert len(sent) == 2


def test_a_limit_that_no_prompt_could_meet_is_no_context_overflow():
    said = (
        "max_tokens=4000 cannot be greater than max_model_len=1024. Please request fewer output "
        "tokens. (parameter=max_tokens, value=4000)"
    )
    model, _ = model_of((400, {"error": {"message": said, "type": "BadRequestError"}}))
    with pytest.raises(ModelError) as caught:
        chat(model)
    assert not isinstance(caught.value, ContextOverflow)


def test_calls_that_wait_to_be_repeated_are_counted():
    async def main():
        model, _ = model_of((503, b"loading the model"), retry=Retry(base=60, cap=60))
        calls = [asyncio.create_task(model.chat(HELLO)) for _ in range(3)]
        while model.waiting < 3:
            await asyncio.sleep(0.001)
        seen = model.waiting, model.trouble
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        return seen, model.waiting

    (waiting, trouble), after = asyncio.run(main())
    assert (waiting, after) == (3, 0)
    assert "loading the model" in trouble


def models(*outcomes):
    """A model whose first question, for the names of models, meets these outcomes."""
    named = (200, {"data": [{"id": "m"}]})
    model, sent = model_of(*outcomes, named)
    return model, sent


@pytest.mark.parametrize("fault", [(503, b"busy"), (429, b""), TransportError("reset", "gone")])
def test_a_busy_server_is_asked_again_before_a_run_begins(fault):
    model, sent = models(fault, fault)
    asyncio.run(model.connect())
    assert len(sent) == 3


def test_a_server_that_is_not_there_is_not_waited_for():
    model, sent = models(TransportError("connect", "refused"))
    with pytest.raises(ConfigError, match="refused"):
        asyncio.run(model.connect())
    assert len(sent) == 1


@pytest.mark.parametrize("key", ["a\nb", "schlüssel", "\udc80"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(monkeypatch, key):
    monkeypatch.setenv("MY_KEY", key)
    with pytest.raises(ConfigError, match="MY_KEY is not plain text") as raised:
        Model("http://127.0.0.1:1/v1", "m", api_key_env="MY_KEY")
    assert key not in str(raised.value)


@pytest.mark.parametrize("url", ["http://u:p@127.0.0.1/v1", "http://u@127.0.0.1/v1"])
def test_a_password_in_the_base_url_is_refused_and_not_shown(url):
    with pytest.raises(ConfigError, match="user name or password") as raised:
        Model(url, "m")
    assert "u:p" not in str(raised.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1 :80/v1", "http://a/v1?x=1", "http://a/v1\n"])
def test_base_urls_with_more_than_a_place_are_refused(url):
    with pytest.raises(ConfigError, match="no base URL"):
        Model(url, "m")


def test_a_redirect_says_where_it_leads():
    model, sent = model_of((307, b""))
    with pytest.raises(ModelError, match="a redirect to 'nowhere', which is not followed"):
        chat(model)
    assert len(sent) == 1


def test_tokens_may_be_counted_as_floats():
    reply = text("4")
    reply["usage"] = {"prompt_tokens": 3.0, "completion_tokens": 2.0}
    model, _ = model_of((200, reply))
    assert (chat(model).usage.prompt_tokens, chat(model).usage.completion_tokens) == (3, 2)


@pytest.mark.parametrize(
    "url", ["http://u:hunter2@h:abc/v1", "u:hunter2@h/v1", "http://h/v1?k=hunter2"]
)
def test_a_malformed_base_url_is_not_shown_if_it_may_hold_a_secret(url):
    with pytest.raises(ConfigError) as raised:
        Model(url, "m")
    assert "hunter2" not in str(raised.value)


def test_garbled_names_are_asked_for_again_but_not_for_ever():
    model, sent = models((200, b'{"choices": [{"mess'))
    asyncio.run(model.connect())
    assert len(sent) == 2
    other, sent = model_of((200, b"<html>"))
    with pytest.raises(ConfigError, match="is no OpenAI server"):
        asyncio.run(other.connect())
    assert len(sent) == 5

"""The check of a model server: what it says of servers that have all, some or none of it."""

import asyncio
import json

import pytest
from tests.models import backends
from tests.models.backends import Backend, Served

from athlos.errors import ConfigError
from athlos.models.check import Report, check_model
from athlos.models.check.run import CAPABILITIES, check_transport

NAMES = [each.name for each in CAPABILITIES]


def check(backend, model=None, timeout=20.0) -> Report:
    return asyncio.run(check_transport("http://test/v1", backend, model, timeout))


def found(report):
    return {each.capability: each.found for each in report.findings}


def differing(report, usual="yes"):
    return {name: value for name, value in found(report).items() if value != usual}


def test_a_full_vllm():
    backend = backends.vllm(reasoning="reasoning")
    report = check(backend)
    assert [each.capability for each in report.findings] == NAMES
    assert (report.server, report.model, report.missing) == ("vllm", "m", [])
    # the template does not render reasoning, but keeps what is in the content; it normalises calls
    assert differing(report) == {"prefix stability": "partly"}
    assert report["token ids"].data == {"dialects": ["vllm"], "prompt": True}
    assert report["reasoning field"].data == {"field": "reasoning"}
    assert report["log-probability mode"].data == {"mode": "processed"}
    assert report["context length"].data == {"tokens": 400}
    assert report["stop token in ids"].data == {"end_id": 2}
    engines = ["vllm-generate", "vllm-completions"]
    assert report["token-in endpoint"].data["engines"] == engines
    assert report["prompt log-probabilities"].data["endpoints"] == ["/v1/completions"]
    assert report["weight version"].data["replies"] == {"/inference/v1/generate": ["7"]}
    assert not any(each.switch_on for each in report.findings if each.found == "yes")
    assert backend.closed


def test_an_sglang():
    report = check(backends.sglang())
    assert report.server == "sglang"
    assert report.missing == []
    assert report["token ids"].data == {"dialects": ["sglang"], "prompt": True}
    assert report["reasoning field"].data == {"field": "reasoning_content"}
    assert report["tokenize"].data == {"endpoints": ["/tokenize", "/v1/tokenize"]}
    assert report["token-in endpoint"].data["engines"] == ["sglang"]
    assert report["prompt log-probabilities"].data["endpoints"] == ["/generate"]
    assert report["weight version"].data["endpoints"] == {"/get_model_info": "v3"}
    mode = report["log-probability mode"]
    assert (mode.found, mode.data) == ("partly", {"mode": "temperature"})
    assert "SGLANG_RETURN_ORIGINAL_LOGPROB" in mode.switch_on


def test_nemo_rl_has_no_list_of_models_and_takes_its_own_sampling_only():
    report = check(backends.nemo_rl(context=None), "m")
    assert report.server == "nemo-rl"
    assert report.missing == ["models"]
    assert report["token ids"].data == {"dialects": ["nemo-rl"], "prompt": True}
    assert report["tool calls"].found == "yes"
    assert report["tokenize"].data == {"endpoints": ["/tokenize"]}
    assert report["token-in endpoint"].found == "no"
    mode = report["log-probability mode"]
    assert mode.found == "unknown"
    assert "takes no other sampling" in mode.detail


def test_a_server_that_has_none_of_it():
    report = check(backends.plain(), "m")
    assert report.missing == ["models", "tool calls"]
    assert {name for name, value in found(report).items() if value == "yes"} == {
        "chat", "streaming", "stream usage", "n > 1", "seed", "stop strings", "structured output",
    }  # fmt: skip
    assert report["log-probabilities"].detail == "none came back"
    assert report["token ids"].detail == "no reply has any"
    assert report["tokenize"].detail == "none of the endpoints is there"
    # of an unknown server, what helps with each known one
    assert "vLLM: --enable-auto-tool-choice" in report["tool calls"].switch_on
    assert "SGLang: --tool-call-parser" in report["tool calls"].switch_on


@pytest.mark.parametrize(
    ("settings", "state", "text"),
    [
        ({"calls": True}, "yes", "a call was parsed"),
        ({"calls": "constrained"}, "yes", "its text was constrained"),
        ({"calls": True, "parser": False}, "no", "not parsed: the call came back as text"),
        ({"calls": False}, "unknown", "not shown: the model made no call"),
    ],
)
def test_a_call_that_is_not_parsed_is_not_a_call_that_was_not_made(settings, state, text):
    finding = check(backends.vllm(**settings))["tool calls"]
    assert finding.found == state
    assert text in finding.detail


def test_a_template_without_tools_is_told_from_a_model_that_makes_no_call():
    class Deaf(Backend):
        def render(self, messages, tools=None, generation=True):
            return super().render(messages, None, generation)

    report = check(Deaf("/models", "/chat/completions", "//tokenize", calls=False))
    assert report["tool calls"].found == "no"
    assert "never sees the tools" in report["tool calls"].detail
    assert "tools change nothing" in report["tokenize"].detail


def test_what_needs_tool_calls_is_not_tried_without_them():
    report = check(backends.vllm(calls=False))
    assert report["parallel tool calls"].found == "unknown"
    assert report["tool-call streaming"].detail == "needs tool calls"


@pytest.mark.parametrize(
    ("mode", "state", "seen"),
    [
        ("processed", "yes", "processed"),
        ("temperature", "partly", "temperature"),
        ("raw", "partly", "raw"),
    ],
)
def test_the_mode_of_log_probabilities_is_found_out(mode, state, seen):
    finding = check(backends.vllm(mode=mode))["log-probability mode"]
    assert (finding.found, finding.data) == (state, {"mode": seen})
    assert ("processed_logprobs" in finding.switch_on) == (mode != "processed")


@pytest.mark.parametrize(
    ("dialect", "prompt", "state"),
    [("vllm", True, "yes"), ("llamacpp", False, "partly"), ("strings", False, "partly")],
)
def test_dialects_of_token_ids(dialect, prompt, state):
    finding = check(Backend("/models", "/chat/completions", dialect=dialect))["token ids"]
    assert finding.found == state
    assert finding.data["prompt"] == prompt
    assert finding.data["dialects"] == ["token_id strings" if dialect == "strings" else dialect]


@pytest.mark.parametrize("drop", [False, True])
def test_the_end_token_is_looked_for(drop):
    finding = check(backends.vllm(drop_end=drop))["stop token in ids"]
    assert finding.found == ("no" if drop else "yes")


def test_reasoning_in_the_content_is_told_from_none():
    assert check(backends.vllm(reasoning=""))["reasoning field"].found == "no"
    assert check(backends.vllm(reasoning=None))["reasoning field"].found == "unknown"


def test_a_template_that_rewrites_calls():
    kept = check(backends.vllm())["prefix stability"].data["tool calls"]["detail"]
    assert kept == "the sampled ids are kept; arguments are written anew, so their spacing is lost"
    changed = check(backends.vllm(rewrites=True))["prefix stability"].data["tool calls"]
    assert not changed["stable"]
    assert changed["detail"].startswith("the reply comes back as other tokens from its token 0 on")


def test_a_template_that_drops_reasoning():
    class Forgetful(Backend):
        def render(self, messages, tools=None, generation=True):
            last = max(n for n, m in enumerate(messages) if m["role"] == "user")
            kept = [
                {**m, "content": m.get("reasoning", "") + (m.get("content") or "")}
                if n > last
                else m
                for n, m in enumerate(messages)
            ]
            return super().render(kept, tools, generation)

    report = check(Forgetful("/models", "/chat/completions", "//tokenize", dialect="vllm"))
    reasoning = report["prefix stability"].data["reasoning"]
    assert reasoning == {"stable": False, "detail": "dropped once a user turn follows"}


def test_a_prompt_that_is_too_long_must_be_refused_in_words():
    class Silent(Backend):
        def sample(self, request, prompt, limit):
            if len(prompt) >= 400:
                raise backends.Refusal(400, "no")
            return super().sample(request, prompt, limit)

    finding = check(Silent("/models", "/chat/completions"))["context length"]
    assert finding.found == "partly"
    assert "does not say so" in finding.detail


def test_a_context_that_only_an_error_tells():
    class Reticent(Backend):
        def do_models(self, request):
            return {"data": [{"id": "m"}]}

        def sample(self, request, prompt, limit):
            if limit > 400:
                raise backends.Refusal(400, f"max_tokens={limit} is more than the 400 there are")
            return super().sample(request, prompt, limit)

    finding = check(Reticent("/models", "/chat/completions"))["context length"]
    assert (finding.found, finding.data) == ("yes", {"tokens": 400})


@pytest.mark.parametrize("path", ["//tokenize", "/completions", "//inference/v1/generate"])
def test_an_endpoint_that_hangs_spoils_no_other_try(path):
    report = check(backends.vllm(hang=[path]), timeout=0.6)
    assert found(report)["tool calls"] == "yes"
    assert found(report)["token ids"] == "yes"
    name = "tokenize" if path == "//tokenize" else "token-in endpoint"
    assert "no answer within" in report[name].detail


def test_a_list_of_models_that_hangs():
    report = check(backends.vllm(hang=["/models"]), "m", timeout=0.6)
    assert report.missing == ["models"]
    assert "no answer within" in report["models"].detail


GARBAGE = [
    b"<html>", b"[1]", b"null", b'{"choices": 7}', b'{"choices": [{"message": 7}]}',
    b'{"choices": [{"message": {"content": 7, "tool_calls": [7, {"function": 7}]}, '
    b'"logprobs": {"content": [7, {"logprob": "x"}]}, "token_ids": "x"}], "usage": 7}',
    b'{"tokens": "x", "data": {}, "choices": [], "meta_info": 7}', b"\xff", b"[" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_a_finding(garbage):
    class Mad(Backend):
        async def send(self, method, path, body=None):
            if path == "/models":
                return await super().send(method, path, body)
            return backends.Response(200, {}, garbage)

    report = check(Mad("/models", "/chat/completions", owner="vllm"))
    assert [each.capability for each in report.findings] == NAMES
    assert "tool calls" in report.missing
    assert report["token ids"].found == "no"
    assert report["token-in endpoint"].found == "no"


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("path", ["//tokenize", "/completions", "//inference/v1/generate"])
def test_garbage_of_one_endpoint_spoils_no_other_try(path, garbage):
    report = check(backends.vllm(garbage={path: garbage}))
    assert report.missing == []
    assert found(report)["token ids"] == "yes"


def test_a_chat_that_fails_half_way_through():
    class Dying(Backend):
        async def send(self, method, path, body=None):
            if len(self.asked) > 12:
                self.asked.append(path)
                raise backends.TransportError("connect", "connection refused")
            return await super().send(method, path, body)

    report = check(Dying("/models", "/chat/completions", dialect="vllm"))
    assert [each.capability for each in report.findings] == NAMES
    assert "connection refused" in {each.detail for each in report.findings}


def test_a_busy_server_is_asked_again():
    class Busy(Backend):
        async def send(self, method, path, body=None):
            reply = await super().send(method, path, body)
            if path == "/chat/completions" and self.asked.count(path) % 2:
                return backends.Response(503, {"retry-after": "0"}, b"busy")
            return reply

    report = check(Busy("/models", "/chat/completions"))
    assert found(report)["chat"] == "yes"


def wrong(backend, model=None):
    with pytest.raises(ConfigError) as caught:
        check(backend, model, timeout=0.6)
    return caught.value


def test_mistakes_of_the_user_are_one_message():
    assert wrong(backends.vllm(), "other").message == "no model 'other' at http://test/v1"
    assert wrong(backends.vllm(), "other").hint == "It has: m"
    assert "which model?" in wrong(backends.nemo_rl()).message
    assert "does not exist" in wrong(backends.nemo_rl(), "other").message
    assert "no OpenAI server" in wrong(Backend("//health"), "m").message
    assert "no answer" in wrong(backends.vllm(hang=["/models"])).message
    with pytest.raises(ConfigError, match="one base URL"):
        asyncio.run(check_model("http://a/v1,http://b/v1"))


def test_check_model_over_http():
    with Served(backends.vllm()) as server:
        report = asyncio.run(check_model(server.url))
        assert report.missing == []
        assert report["tokenize"].data == {"endpoints": ["/tokenize"]}
        assert found(report)["token-in endpoint"] == "yes"
        with pytest.raises(ConfigError) as caught:
            asyncio.run(check_model(server.root))
    assert server.url in caught.value.hint


def test_the_command_prints_a_table(athlos):
    with Served(backends.vllm()) as server:
        said = athlos("check", "model", server.url)
    assert said.returncode == 0, said.stderr
    for name in NAMES:
        assert name.split()[0] in said.stdout
    assert "m at " in said.stdout
    assert "required, but" not in said.stdout


def test_the_command_prints_json_and_exits_with_1_if_something_is_missing(athlos):
    with Served(backends.plain()) as server:
        said = athlos("check", "model", server.url, "--model", "m", "--json")
    assert said.returncode == 1
    report = json.loads(said.stdout)
    assert report["missing"] == ["models", "tool calls"]
    assert [each["capability"] for each in report["findings"]] == NAMES
    assert {"found", "detail", "unlocks", "switch_on", "required"} <= set(report["findings"][0])


def test_the_command_exits_with_2_on_a_mistake(athlos, monkeypatch):
    with Served(backends.vllm(), api_key="right") as server:
        monkeypatch.setenv("MY_KEY", "wrong")
        said = athlos("check", "model", server.url, "--api-key-env", "MY_KEY")
        assert (said.returncode, said.stdout) == (2, "")
        assert "refused the API key" in said.stderr
        assert "wrong" not in said.stderr
        monkeypatch.setenv("MY_KEY", "right")
        named = athlos("check", "model", server.url, "--api-key-env", "MY_KEY", "--model", "x")
        assert named.returncode == 2
        assert "no model 'x'" in named.stderr
    gone = athlos("check", "model", server.url)
    assert gone.returncode == 2
    assert "no model server at" in gone.stderr
    assert "Traceback" not in gone.stderr


def test_what_a_server_says_does_not_steer_the_terminal(athlos):
    nasty = json.dumps({"error": {"message": "\x1b[2J[red]", "type": "x"}}).encode()

    class Nasty(Backend):
        async def send(self, method, path, body=None):
            if path == "/completions":
                return backends.Response(400, {}, nasty)
            return await super().send(method, path, body)

    with Served(Nasty("/models", "/chat/completions")) as server:
        said = athlos("check", "model", server.url)
    assert "\x1b[2J" not in said.stdout
    assert "\\x1b" in said.stdout


def test_the_end_token_of_a_model_that_never_stops():
    class Endless(Backend):
        def say(self, request, prompt):
            return super().say(request, self.encode("on and on"))

    for drop in (False, True):
        finding = check(Endless("/models", "/chat/completions", dialect="vllm", drop_end=drop))
        assert "stop_token_ids" in finding["stop token in ids"].detail
    refusing = Endless("/chat/completions", dialect="nemo-rl", fixed=True)
    assert check(refusing, "m")["stop token in ids"].found == "unknown"


def test_a_server_that_knows_no_top_k():
    class Strict(Backend):
        def do_chat_completions(self, request):
            if "top_k" in request:
                raise backends.Refusal(400, "unknown parameter: top_k")
            return super().do_chat_completions(request)

    finding = check(Strict("/models", "/chat/completions", mode="raw"))["log-probability mode"]
    assert finding.data == {"mode": "raw"}

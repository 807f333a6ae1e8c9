"""Capture and exact mode through whole rollouts, on every dialect and with every drift."""

import asyncio
import json
from pathlib import Path

import pytest

from athlos import ConfigError, Environment, Message, Model, Task, ToolLoop, collect, reward, tool
from athlos.models.engines import Completion
from athlos.models.retry import Retry
from athlos.models.token_modes import Capture, Exact
from athlos.runs.audit import audit
from athlos.sequences import build
from athlos.testing.stub import DRIFTS, StubFaults, ToolPolicy, stub_server

pytest.importorskip("tokenizers")
pytest.importorskip("renderers")

TINY = Path(__file__).parent.parent / "data" / "tiny"
SAMPLING = {"temperature": 1.0, "top_p": 1.0, "max_tokens": 200}
QUICK = Retry(base=0.001, cap=0.002, max_tries=2)


class Weather(Environment):
    """Ask for the weather, then answer."""

    @classmethod
    def tasks(cls, config, split):
        for number in range(1000):
            yield Task(f"What is the weather in city {number}?", id=str(number))

    @tool
    async def get_weather(self, city: str, metric: bool = True) -> str:
        """Weather of a city.

        Args:
            city: Its name.
            metric: Degrees Celsius.
        """
        return f"It is {len(city)} degrees in {city}."

    @reward
    def answered(self, rollout) -> float:
        return float(bool(rollout.answer))


def run(url, tokens, *, tasks=4, sampling=SAMPLING, max_turns=3, **options):
    """The rollouts and failures of a collection."""

    async def go():
        async with Model(url, "tiny", tokens=tokens, retry=QUICK) as model:
            collection = collect(
                Weather, model, limit=tasks, concurrency=4, sampling=sampling,
                agent=ToolLoop(max_turns=max_turns), seed=1, **options,
            )  # fmt: skip
            rollouts = [rollout async for rollout in collection]
            return rollouts, collection.failures

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("dialect", "source"),
    [("vllm", "engine"), ("sglang", "engine"), ("nemo_rl", "engine"), ("llamacpp", "endpoint")],
)
def test_capture_knows_the_tokens_of_every_dialect(dialect, source):
    with stub_server(dialect, tokenizer=TINY) as stub:
        rollouts, failures = run(stub.url, Capture())
    assert not failures
    for rollout in rollouts:
        assert rollout.turns == 3
        for call in rollout.calls:
            assert (call.token_mode, call.token_source) == ("capture", source)
            assert len(call.prompt_token_ids) == call.usage.prompt_tokens
            assert len(call.logprobs) == len(call.token_ids) == call.usage.completion_tokens
            assert json.loads(bytes(call.request))
            assert json.loads(bytes(call.response))
        assert len(rollout.sequences()) == 1


@pytest.mark.parametrize(
    ("dialect", "engine"),
    [
        ("vllm", "vllm-generate"),
        ("vllm", "vllm-completions"),
        ("sglang", "sglang"),
        ("llamacpp", "llamacpp"),
    ],
)
def test_exact_mode_never_breaks(dialect, engine):
    with stub_server(dialect, tokenizer=TINY, scale_out=True) as stub:
        rollouts, failures = run(stub.url, Exact(str(TINY), engine=engine))
    assert not failures
    for rollout in rollouts:
        assert rollout.tool_calls == 2
        assert {call.token_mode for call in rollout.calls} == {"exact"}
        assert len(rollout.sequences(policy="strict")) == 1


@pytest.mark.parametrize(
    ("scale_out", "used"), [(True, "vllm-generate"), (False, "vllm-completions")]
)
def test_exact_mode_finds_the_endpoint_that_is_there(scale_out, used):
    tokens = Exact(str(TINY))
    with stub_server("vllm", tokenizer=TINY, scale_out=scale_out) as stub:
        rollouts, _ = run(stub.url, tokens, tasks=1)
    assert len(rollouts) == 1
    assert tokens._engine.name == used


@pytest.mark.parametrize("think", [False, True])
@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("drift", [*DRIFTS, "all"])
def test_drift_breaks_captured_conversations_only(drift, think, parallel):
    kinds = set(DRIFTS) if drift == "all" else {drift}
    policy = ToolPolicy(think=think, parallel=parallel)
    with stub_server("vllm", tokenizer=TINY, policy=policy, drift=kinds, scale_out=True) as stub:
        captured, broken = run(stub.url, Capture())
        exact, failures = run(stub.url, Exact(str(TINY)))
    assert not (broken or failures)
    for rollout in captured:  # building them checks every rule
        built = build(rollout)
        assert sum(map(sum, (s.loss_mask for s in built.sequences))) == built.trained_tokens
        assert len(built.sequences) == 1 + built.forked
    for rollout in exact:
        assert len(rollout.sequences(policy="strict")) == 1


def test_captured_drift_is_reported_truthfully():
    policy = ToolPolicy(think=True)
    with stub_server("vllm", tokenizer=TINY, policy=policy, drift={"merge"}) as stub:
        rollouts, _ = run(stub.url, Capture())
    assert sum(build(rollout).forked for rollout in rollouts) > 0


@pytest.mark.parametrize(
    ("faults", "says"),
    [
        (StubFaults(short_logprobs=True), "log-probabilities"),
        (StubFaults(bad_logprob="null"), "log-probability of sampled token"),
    ],
)
@pytest.mark.parametrize("mode", ["capture", "exact"])
def test_broken_token_data_fails_the_attempt(mode, faults, says):
    tokens = Capture() if mode == "capture" else Exact(str(TINY))
    faults.when = lambda view: "city 2?" in view.prompt
    with stub_server("vllm", tokenizer=TINY, scale_out=True, faults=faults) as stub:
        rollouts, failures = run(stub.url, tokens)
    assert len(rollouts) == 3
    assert [failure.failure_class for failure in failures] == ["model_error"]
    assert says in failures[0].message


def test_sources_that_disagree_fail_the_attempt():
    faults = StubFaults(disagreeing=True, when=lambda view: "city 2?" in view.prompt)
    sampling = {**SAMPLING, "return_tokens_as_token_ids": True}
    with stub_server("vllm", tokenizer=TINY, faults=faults) as stub:
        rollouts, failures = run(stub.url, Capture(), sampling=sampling)
    assert len(rollouts) == 3
    assert "two sources of the server disagree" in failures[0].message


@pytest.mark.parametrize("tokens", [Capture(), Exact(str(TINY))], ids=["capture", "exact"])
def test_a_server_without_token_ids_is_refused_at_once(tokens):
    with stub_server("plain", tokenizer=TINY) as stub, pytest.raises(ConfigError) as caught:
        run(stub.url, tokens)
    assert caught.value.hint


@pytest.mark.parametrize(("kind", "processed"), [("processed", True), ("raw", False)])
@pytest.mark.parametrize("mode", ["capture", "exact"])
def test_the_kind_of_log_probability_is_found_out(mode, kind, processed):
    tokens = Capture() if mode == "capture" else Exact(str(TINY))
    logprobs = "processed" if processed else "raw"
    with stub_server("vllm", tokenizer=TINY, logprobs=logprobs) as stub:
        rollouts, _ = run(stub.url, tokens, tasks=1)
    assert {call.logprob_kind for call in rollouts[0].calls} == {kind}


def replay(url, rollouts):
    async def go():
        async with Model(url, "tiny") as model:
            await model.connect()
            return await audit(rollouts, model)

    return asyncio.run(go())


@pytest.mark.parametrize("dialect", ["vllm", "sglang"])
def test_an_audit_agrees_with_the_engine_that_sampled(dialect):
    with stub_server(dialect, tokenizer=TINY) as stub:
        rollouts, _ = run(stub.url, Exact(str(TINY)))
        found = replay(stub.url, rollouts)
    assert found.passed
    assert found.ids_equal
    assert (found.sequences, found.breaks) == (4, 0)
    assert len(found.calls) == 12
    assert found.worst < 1e-3


def test_an_audit_names_what_drifted():
    with stub_server("vllm", tokenizer=TINY) as stub:
        rollouts, _ = run(stub.url, Exact(str(TINY)))
        stub.faults.replay_shift = 0.01
        found = replay(stub.url, rollouts)
    assert not found.passed
    assert found.worst == pytest.approx(0.01, rel=1e-3)
    assert "other weights, another precision" in found.faults[0].verdict


def test_an_audit_blames_what_changed_the_distribution():
    with stub_server("vllm", tokenizer=TINY, logprobs="processed") as stub:
        rollouts, _ = run(stub.url, Exact(str(TINY)), sampling={**SAMPLING, "temperature": 0.5})
        found = replay(stub.url, rollouts)
    assert not (found.passed or found.faults)
    [(reason, count)] = found.unchecked.items()
    assert "temperature 0.5 changed the distribution" in reason
    assert count == 12


def test_an_audit_of_rollouts_without_ids_says_so():
    with stub_server("vllm", tokenizer=TINY) as stub:
        rollouts, _ = run(stub.url, None)
        found = replay(stub.url, rollouts)
    assert not found.passed
    assert found.unchecked == {"no token ids were recorded": 12}


def test_an_engine_in_this_process_makes_exact_rollouts():
    seen = []

    async def generate(prompt_ids, sampling):
        seen.append((prompt_ids, sampling))
        return Completion(token_ids=[40, 41, 2041], logprobs=[-1.0, -2.0, -0.5])

    async def go():
        async with Model.in_process(generate, str(TINY), context=4096) as model:
            collection = collect(Weather, model, limit=2, sampling={"temperature": 0.7})
            return [rollout async for rollout in collection]

    rollouts = asyncio.run(go())
    calls = [call for rollout in rollouts for call in rollout.calls]
    assert [call.token_ids for call in calls] == [[40, 41, 2041]] * 2
    assert {call.token_mode for call in calls} == {"exact"}
    prompt, sampling = seen[-1]
    assert prompt in [call.prompt_token_ids for call in calls]
    assert sampling["temperature"] == 0.7
    assert sampling["max_tokens"] == 4096 - len(prompt)


def test_variables_of_the_template_are_rendered_here():
    kwargs = {"chat_template_kwargs": {"enable_thinking": False}}
    with stub_server("vllm", tokenizer=TINY) as stub:
        plain, _ = run(stub.url, Exact(str(TINY)), tasks=1)
        quiet, failures = run(stub.url, Exact(str(TINY)), tasks=1, sampling={**SAMPLING, **kwargs})
    assert not failures
    prompts = [rollouts[0].calls[0].prompt_token_ids for rollouts in (plain, quiet)]
    assert prompts[1][: len(prompts[0])] == prompts[0]
    assert len(prompts[1]) > len(prompts[0])


def shuffled(folder):
    """A tokenizer of the same words under other ids."""
    made = json.loads((TINY / "tokenizer.json").read_text())
    words = [w for w, i in sorted(made["model"]["vocab"].items(), key=lambda item: item[1])]
    swapped = {word: place for place, word in enumerate(words)}
    swapped[words[500]], swapped[words[20]] = 20, 500
    for place in range(256, 400, 2):
        swapped[words[place]], swapped[words[place + 1]] = place + 1, place
    for place in range(30, 120, 2):
        swapped[words[place]], swapped[words[place + 1]] = place + 1, place
    made["model"]["vocab"] = swapped
    (folder / "tokenizer.json").write_text(json.dumps(made))
    config = (TINY / "tokenizer_config.json").read_text()
    (folder / "tokenizer_config.json").write_text(config)
    return str(folder)


def test_the_tokenizer_of_another_model_is_refused(tmp_path):
    with stub_server("vllm", tokenizer=TINY) as stub, pytest.raises(ConfigError) as caught:
        run(stub.url, Exact(shuffled(tmp_path)))
    assert "the tokenizer is not that of tiny" in caught.value.message


def test_another_chat_template_is_a_warning(tmp_path, caplog):
    config = json.loads((TINY / "tokenizer_config.json").read_text())
    config["chat_template"] = config["chat_template"].replace(
        "'<|im_start|>assistant\\n' }}\n    {%- if enable",
        "'<|im_start|>helper\\n' }}\n    {%- if enable",
    )
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer.json").write_bytes((TINY / "tokenizer.json").read_bytes())
    with stub_server("vllm", tokenizer=TINY) as stub:
        run(stub.url, Exact(str(TINY)), tasks=1)
        assert not caplog.records
        run(stub.url, Exact(str(tmp_path)), tasks=1)
    assert "makes other ids of a conversation" in caplog.text


def test_a_run_with_another_tokenizer_is_another_run(tmp_path):
    ours, other = Exact(str(TINY)).settings(), Exact(shuffled(tmp_path)).settings()
    assert ours != other
    assert Exact(str(TINY), renderer="qwen3").settings() != ours
    assert Exact(str(TINY)).settings() == ours


def test_a_stop_text_takes_the_endpoint_that_knows_texts():
    with stub_server("vllm", tokenizer=TINY, scale_out=True) as stub:
        stop = {**SAMPLING, "stop": ["get_weather"]}
        rollouts, failures = run(stub.url, Exact(str(TINY)), tasks=2, sampling=stop)
        with pytest.raises(ConfigError, match="cannot stop at a text"):
            run(stub.url, Exact(str(TINY), engine="vllm-generate"), sampling=stop)
    assert not failures
    assert all("get_weather" not in rollout.answer for rollout in rollouts)


def test_tool_calls_that_nobody_offered_are_text():
    def said(view):
        return 'The answer is <tool_call>\n{"name": "add", "arguments": {}}\n</tool_call>'

    async def go(url):
        async with Model(url, "tiny", tokens=Exact(str(TINY)), sampling=SAMPLING) as model:
            await model.connect()
            return await model.chat([Message("user", "Hello.")])

    with stub_server("vllm", tokenizer=TINY, policy=said) as stub:
        reply = asyncio.run(go(stub.url))
    assert reply.message.tool_calls == []
    assert "<tool_call>" in reply.message.text
    assert reply.finish_reason == "stop"

"""The log-probabilities: a distribution at each place, and a function of the ids alone."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.testing.stub.helpers import IDS, TINY, chat, post

from athlos.testing.stub import StubFaults, stub_server
from athlos.testing.stub.distribution import Distribution, Shape

SHAPES = st.builds(
    Shape,
    temperature=st.floats(0.1, 3),
    top_p=st.floats(0.05, 1),
    top_k=st.integers(0, 100),
)


@given(st.integers(2, 97), st.lists(st.integers(0, 1), max_size=5), st.integers(0, 9))
@settings(max_examples=50, deadline=None)
def test_probabilities_add_up_to_one(size: int, prefix: list[int], seed: int) -> None:
    model = Distribution(size, seed=seed)
    state = model.state(prefix)
    told = [model.sampled(state, at, Shape(), "default")[0] for at in range(size)]
    assert math.fsum(math.exp(entry.logprob) for entry in told) == pytest.approx(1)
    assert sorted(entry.rank for entry in told) == list(range(1, size + 1))


@given(SHAPES, st.integers(0, 2047))
@settings(max_examples=100, deadline=None)
def test_what_sampling_keeps_adds_up_to_one(shape: Shape, at: int) -> None:
    model = Distribution(2048, mode="processed")
    sampled, *others = model.sampled(7, at, shape, "default", top=2048)
    assert math.fsum(math.exp(e.logprob) for e in others) <= 1 + 1e-9
    kept = {entry.rank: entry.logprob for entry in [sampled, *others]}
    assert math.fsum(map(math.exp, kept.values())) == pytest.approx(1)


def test_one_token_to_choose_from_is_certain() -> None:
    model = Distribution(2048, mode="processed")
    assert model.sampled(7, 5, Shape(top_k=1), "default")[0].logprob == 0
    assert model.sampled(7, 5, Shape(top_p=1e-6), "default")[0].logprob == 0


def test_the_likeliest_come_in_their_order() -> None:
    model = Distribution(2048)
    _, *top = model.sampled(7, 5, Shape(), "default", top=3)
    assert [entry.rank for entry in top] == [1, 2, 3]
    assert model.sampled(7, top[1].id, Shape(), "default")[0] == top[1]


def test_a_replayed_sample_has_the_log_probabilities_of_the_sample() -> None:
    with stub_server(tokenizer=TINY, scale_out=True, logprobs="processed") as stub:
        reply = chat(stub.url, **IDS)
        (choice,) = reply["choices"]
        prompt, sample = reply["prompt_token_ids"], choice["token_ids"]
        params = {"max_tokens": 1, "prompt_logprobs": 0}
        given = {"token_ids": prompt + sample, "sampling_params": params}
        replayed = post(f"{stub.root}/inference/v1/generate", given)["prompt_logprobs"]
        echo = {"model": "tiny", "prompt": prompt + sample, "max_tokens": 1, "echo": True}
        columns = post(f"{stub.url}/completions", {**echo, "logprobs": 0})["choices"][0]["logprobs"]
    told = [entry["logprob"] for entry in choice["logprobs"]["content"]]
    again = replayed[len(prompt) :]
    assert [entry[str(at)]["logprob"] for entry, at in zip(again, sample, strict=True)] == told
    assert columns["token_logprobs"][len(prompt) :][: len(sample)] == told
    assert replayed[0] is None
    assert columns["token_logprobs"][0] is None


@pytest.mark.parametrize(("mode", "equal"), [("raw", True), ("processed", False)])
def test_temperature_changes_what_is_processed(mode: str, equal: bool) -> None:
    with stub_server(tokenizer=TINY, logprobs=mode) as stub:  # type: ignore[arg-type]
        cool, warm = (
            [
                e["logprob"]
                for e in chat(stub.url, **IDS, temperature=t)["choices"][0]["logprobs"]["content"]
            ]
            for t in (0.5, 1.0)
        )
    assert (cool == warm) is equal


def test_other_weights_have_other_log_probabilities() -> None:
    with stub_server(tokenizer=TINY) as stub:
        before = chat(stub.url, **IDS)
        post(f"{stub.root}/update_weight_version", {"new_version": "1"})
        after = chat(stub.url, **IDS)
    assert before["choices"][0]["token_ids"] == after["choices"][0]["token_ids"]
    assert before["choices"][0]["logprobs"] != after["choices"][0]["logprobs"]


def test_a_replay_can_be_made_to_disagree() -> None:
    with stub_server(tokenizer=TINY) as stub:
        ask = {"model": "tiny", "prompt": [5, 6], "max_tokens": 1, "prompt_logprobs": 0}
        before = post(f"{stub.url}/completions", ask)["choices"][0]["prompt_logprobs"][1]["6"]
        stub.faults.replay_shift = 0.5
        after = post(f"{stub.url}/completions", ask)["choices"][0]["prompt_logprobs"][1]["6"]
    assert after["logprob"] - before["logprob"] == pytest.approx(0.5)


def test_faults_have_no_part_in_other_requests() -> None:
    assert StubFaults(when=lambda _: False, missing_ids=True).of(None) == StubFaults()  # type: ignore[arg-type]

"""The engine in the trainer's process, where torch and transformers are installed."""

import asyncio

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore")  # what torch warns of is its own

import torch  # noqa: E402

from athlos import ConfigError  # noqa: E402
from athlos.train.transformers_engine import TransformersEngine, _choose, _Settings  # noqa: E402


@pytest.fixture(scope="module")
def weights():
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=256,
    )  # fmt: skip
    return Qwen2ForCausalLM(config)


def sample(weights, prompts, **sampling):
    async def main():
        engine = TransformersEngine(weights, batch=3)
        try:
            return await asyncio.gather(*(engine(prompt, sampling) for prompt in prompts))
        finally:
            engine.close()

    return asyncio.run(main())


PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10], [11, 12], [2] * 20]


def test_each_token_has_its_log_probability_whatever_the_others_of_the_batch_are(weights):
    weights.train()
    made = sample(weights, PROMPTS, max_tokens=7, temperature=0.7)
    assert weights.training
    weights.eval()
    for prompt, completion in zip(PROMPTS, made, strict=True):
        assert len(completion.token_ids) == len(completion.logprobs) == 7
        assert completion.finish_reason == "length"
        with torch.no_grad():
            logits = weights(input_ids=torch.tensor([prompt + completion.token_ids])).logits[0]
        known = (logits / 0.7).log_softmax(-1)[len(prompt) - 1 : -1]
        expected = [float(row[token]) for row, token in zip(known, completion.token_ids)]  # noqa: B905
        assert completion.logprobs == pytest.approx(expected, abs=1e-4)


def test_a_stop_token_ends_its_completion_and_no_other(weights):
    made = sample(weights, PROMPTS, max_tokens=30, stop_token_ids=list(range(32)))
    for completion in made:
        stopped = completion.finish_reason == "stop"
        assert (completion.token_ids[-1] < 32) == stopped
        assert all(token >= 32 for token in completion.token_ids[:-1])


def test_without_temperature_the_most_likely_token_is_certain(weights):
    one, two = sample(weights, [[1, 2, 3]] * 2, max_tokens=5, temperature=0)
    assert one.token_ids == two.token_ids
    assert one.logprobs == [0.0] * 5


@pytest.mark.parametrize(
    ("top_k", "top_p", "kept"),
    [(0, 1.0, {0, 1, 2, 3}), (2, 1.0, {0, 1}), (0, 0.6, {0, 1}), (0, 0.1, {0}), (1, 0.9, {0})],
)
def test_what_is_left_out_is_never_drawn_and_the_rest_is_a_distribution(top_k, top_p, kept):
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().expand(2000, 4)
    tokens, logprobs = _choose(logits, _Settings(1.0, top_p, top_k))
    shares = [0.5, 0.3, 0.15, 0.05]
    whole = sum(shares[token] for token in kept)
    assert set(tokens.tolist()) == kept
    for token, value in zip(tokens.tolist(), logprobs.exp().tolist(), strict=True):
        assert value == pytest.approx(shares[token] / whole, abs=1e-5)


def test_what_it_does_not_know_and_what_breaks_is_said(weights):
    with pytest.raises(ConfigError, match="no sampling parameter 'stop'"):
        sample(weights, [[1]], stop="x")
    with pytest.raises(IndexError):
        sample(weights, [[1], [10_000]], max_tokens=2)

"""Where servers put token ids, and what happens when two places disagree."""

import json

import pytest

from athlos import ModelError
from athlos.models.dialects import read_tokens

PROMPT, SAMPLED, LOGPROBS = [1, 2, 3], [7, 8], [-0.5, -0.25]


def entries(**more):
    """Entries of `logprobs.content`, each with what `more` says of its id."""
    return {
        "content": [
            {"token": "x", "logprob": p, **{k: make(i) for k, make in more.items()}}
            for i, p in zip(SAMPLED, LOGPROBS, strict=True)
        ]
    }


def body(choice=None, message=None, **top):
    made = {
        "message": {"role": "assistant", "content": "hi", **(message or {})},
        "finish_reason": "stop",
        **(choice or {}),
    }
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    return json.dumps({"usage": usage, **top, "choices": [made]}).encode()


VLLM = body({"token_ids": SAMPLED, "logprobs": entries()}, prompt_token_ids=PROMPT)
SGLANG = body({"prompt_token_ids": PROMPT, "response_token_ids": SAMPLED, "logprobs": entries()})
NEMO_RL = body(
    message={
        "prompt_token_ids": PROMPT,
        "generation_token_ids": SAMPLED,
        "generation_log_probs": LOGPROBS,
    }
)


@pytest.mark.parametrize("reply", [VLLM, SGLANG, NEMO_RL], ids=["vllm", "sglang", "nemo-rl"])
def test_every_dialect_gives_the_same(reply):
    read = read_tokens(reply)
    call = read.call(1, 0.0)
    assert call.prompt_token_ids == PROMPT
    assert call.token_ids == SAMPLED
    assert call.logprobs == LOGPROBS
    assert (call.token_mode, call.token_source) == ("capture", "engine")
    assert json.loads(bytes(call.response)) == json.loads(reply)


@pytest.mark.parametrize(
    "logprobs",
    [entries(token=lambda i: f"token_id:{i}"), entries(id=lambda i: i)],
    ids=["token_id strings", "llama.cpp"],
)
def test_sampled_ids_are_found_in_log_probabilities(logprobs):
    read = read_tokens(body({"logprobs": logprobs}))
    assert read.choices[0].token_ids == SAMPLED
    assert read.prompt_token_ids is None
    assert read.token_source == ""


def test_a_server_that_tells_nothing_is_read_as_such():
    read = read_tokens(body())
    assert (read.prompt_token_ids, read.choices[0].token_ids) == (None, None)
    assert read.choices[0].logprobs is None


@pytest.mark.parametrize(
    ("reply", "names"),
    [
        (
            body({"token_ids": SAMPLED, "logprobs": entries(token=lambda i: f"token_id:{i + 1}")}),
            ("choices[0].token_ids", "choices[0].logprobs", "position 0"),
        ),
        (
            body({"prompt_token_ids": [1, 2], "token_ids": SAMPLED}, prompt_token_ids=PROMPT),
            ("prompt_token_ids has 3", "choices[0].prompt_token_ids has 2", "position 2"),
        ),
        (
            body({"token_ids": SAMPLED}, {"generation_token_ids": [7, 9]}),
            ("choices[0].token_ids", "generation_token_ids", "position 1"),
        ),
    ],
)
def test_disagreeing_sources_are_both_named(reply, names):
    with pytest.raises(ModelError) as caught:
        read_tokens(reply)
    assert all(name in caught.value.message for name in names)
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({"token_ids": [7, 8, 9], "logprobs": entries()}, "sampled 3 tokens and sent 2"),
        (
            {"token_ids": [7], "logprobs": {"content": [{"token": "x", "logprob": None}]}},
            "token 0 is None",
        ),
    ],
)
def test_log_probabilities_that_do_not_fit_are_refused(choice, says):
    with pytest.raises(ModelError, match=says):
        read_tokens(body(choice))


def test_weight_versions_become_spans():
    spans = [{"version": 6, "start": 0, "end": 1}, {"version": "7", "start": 1, "end": 2}]
    vllm = read_tokens(body({"token_ids": SAMPLED, "weight_versions": spans}))
    assert [(s.version, s.start, s.end) for s in vllm.choices[0].versions] == [
        ("6", 0, 1),
        ("7", 1, 2),
    ]
    meta = {"weight_version": "3"}
    sglang = read_tokens(body({"response_token_ids": SAMPLED, "meta_info": meta}))
    assert [(s.version, s.start, s.end) for s in sglang.choices[0].versions] == [("3", 0, 2)]


@pytest.mark.parametrize(
    ("counted", "reason", "known"),
    [
        (2, "stop", True),
        (3, "stop", True),  # the end token has no entry
        (3, "length", False),
        (4, "stop", False),
        (1, "stop", False),
    ],
)
def test_ids_are_forgotten_where_the_server_counts_others(counted, reason, known):
    usage = {"prompt_tokens": 3, "completion_tokens": counted}
    choice = {"logprobs": entries(id=lambda i: i), "finish_reason": reason}
    read = read_tokens(body(choice, usage=usage))
    assert (read.choices[0].token_ids is not None) == known
    assert (read.choices[0].logprobs is not None) == known

"""Bodies of the endpoints that take token ids, and their replies."""

import json

import pytest

from athlos import ConfigError, ModelError
from athlos.models.engines import ENGINES, Completion, check_completion

IDS = [1, 2, 3]


def reply(value):
    return json.dumps(value).encode()


GENERATED = {
    "choices": [
        {
            "token_ids": [7, 8],
            "finish_reason": "stop",
            "logprobs": {"content": [{"token_id": 7, "logprob": -0.5}, {"logprob": -0.25}]},
            "weight_versions": [{"version": "default", "start": 0, "end": 2}],
        }
    ]
}
COMPLETED = {
    "choices": [
        {
            "token_ids": [7, 8],
            "finish_reason": "stop",
            "logprobs": {"token_logprobs": [-0.5, -0.25]},
        }
    ]
}
SGLANG = {
    "output_ids": [7, 8],
    "meta_info": {
        "output_token_logprobs": [[-0.5, 7, None], [-0.25, 8, None]],
        "finish_reason": {"type": "stop", "matched": 8},
    },
}
LLAMACPP = {
    "tokens": [7, 8],
    "stop_type": "eos",
    "completion_probabilities": [{"id": 7, "logprob": -0.5}, {"id": 8, "logprob": -0.25}],
}


@pytest.mark.parametrize(
    ("engine", "body"),
    [
        ("vllm-generate", GENERATED),
        ("vllm-completions", COMPLETED),
        ("sglang", SGLANG),
        ("llamacpp", LLAMACPP),
    ],
)
def test_every_engine_gives_the_same_completion(engine, body):
    found = ENGINES[engine].decode(reply(body))
    assert (found.token_ids, found.logprobs, found.finish_reason) == ([7, 8], [-0.5, -0.25], "stop")


@pytest.mark.parametrize(
    ("engine", "where", "limit"),
    [
        ("vllm-generate", lambda b: (b["token_ids"], b["sampling_params"]), "max_tokens"),
        ("vllm-completions", lambda b: (b["prompt"], b), "max_tokens"),
        ("sglang", lambda b: (b["input_ids"], b["sampling_params"]), "max_new_tokens"),
        ("llamacpp", lambda b: (b["prompt"], b), "n_predict"),
    ],
)
def test_ids_and_sampling_parameters_are_sent_under_their_names(engine, where, limit):
    given = {
        "temperature": 0.5,
        "max_completion_tokens": 9,
        "logprobs": True,
        "tool_choice": "auto",
    }
    ids, sampling = where(ENGINES[engine].encode("m", IDS, given, [42]))
    assert ids == IDS
    assert (sampling["temperature"], sampling[limit]) == (0.5, 9)
    assert "tool_choice" not in sampling


def test_ids_that_end_a_turn_are_added_to_those_asked_for():
    made = ENGINES["vllm-generate"].encode("m", IDS, {"stop_token_ids": [5]}, [42])
    assert made["sampling_params"]["stop_token_ids"] == [5, 42]


@pytest.mark.parametrize(
    "given", [{"response_format": {"type": "json_object"}}, {"tool_choice": "required"}, {"n": 2}]
)
def test_what_only_a_chat_endpoint_knows_is_refused(given):
    with pytest.raises(ConfigError, match="exact mode cannot send"):
        ENGINES["vllm-completions"].encode("m", IDS, given, [])


def test_a_stop_text_is_refused_where_there_is_no_text():
    with pytest.raises(ConfigError, match="cannot stop at a text"):
        ENGINES["vllm-generate"].encode("m", IDS, {"stop": ["x"]}, [])


def test_older_replies_hide_the_id_in_a_string():
    old = json.loads(json.dumps(GENERATED))
    old["choices"][0]["logprobs"]["content"][0] = {"token": "token_id:9", "logprob": -0.5}
    with pytest.raises(ModelError, match="token_ids says 7, logprobs says 9"):
        ENGINES["vllm-generate"].decode(reply(old))


def test_sources_of_sglang_must_agree():
    with pytest.raises(ModelError, match="disagree"):
        ENGINES["sglang"].decode(reply({**SGLANG, "output_ids": [7, 9]}))


def test_weights_that_sampled_are_recorded():
    found = ENGINES["vllm-generate"].decode(reply(GENERATED))
    assert [(s.version, s.start, s.end) for s in found.versions] == [("default", 0, 2)]
    meta = {**SGLANG["meta_info"], "weight_version": 4}
    found = ENGINES["sglang"].decode(reply({**SGLANG, "meta_info": meta}))
    assert [(s.version, s.start, s.end) for s in found.versions] == [("4", 0, 2)]


@pytest.mark.parametrize("engine", list(ENGINES))
@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"choices": []}'])
def test_garbage_is_an_error_of_the_server(engine, body):
    with pytest.raises(ModelError):
        ENGINES[engine].decode(body)


@pytest.mark.parametrize(
    ("completion", "says"),
    [
        (Completion(token_ids=[1], logprobs=[], finish_reason="stop"), "sampled 1 tokens"),
        (Completion(token_ids=[1], logprobs=[float("nan")]), "is nan"),
        (Completion(token_ids=[], logprobs=[], finish_reason="abort"), "gave the completion up"),
    ],
)
def test_an_incomplete_completion_is_refused(completion, says):
    with pytest.raises(ModelError, match=says):
        check_completion(completion)


def test_prompts_are_scored():
    entry = {"2": {"logprob": -1.0}}, {"3": {"logprob": -2.0}, "9": {"logprob": -0.1}}
    vllm = {"choices": [{"prompt_token_ids": IDS, "prompt_logprobs": [None, *entry]}]}
    assert ENGINES["vllm-completions"].decode_score(reply(vllm), IDS) == [-1.0, -2.0]
    meta = {"input_token_logprobs": [[None, 1, None], [-1.0, 2, None], [-2.0, 3, None]]}
    assert ENGINES["sglang"].decode_score(reply({"meta_info": meta}), IDS) == [-1.0, -2.0]


def test_other_ids_than_were_sent_are_noticed():
    vllm = {"choices": [{"prompt_token_ids": [1, 2], "prompt_logprobs": [None, None]}]}
    with pytest.raises(ModelError, match="other ids"):
        ENGINES["vllm-completions"].decode_score(reply(vllm), IDS)
    with pytest.raises(ModelError, match="other ids"):
        ENGINES["sglang"].decode_score(reply({"meta_info": {}}), IDS)

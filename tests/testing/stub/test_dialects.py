"""Where each dialect puts ids and log-probabilities, and what it refuses."""

import json
import threading
import time
from typing import Any

import pytest
from tests.testing.stub.helpers import (
    ASK,
    END,
    IDS,
    TINY,
    WEATHER,
    Body,
    chat,
    events,
    post,
    send,
)

from athlos.testing.stub import StubFaults, ToolPolicy, stub_server

PINNED: Body = {"temperature": 1.0, "top_p": 1.0}


def test_sglang_has_ids_in_the_choice() -> None:
    asked = {"return_prompt_token_ids": True, "return_token_ids": True, "logprobs": True}
    with stub_server("sglang", tokenizer=TINY) as stub:
        reply = chat(stub.url, **asked)
        (choice,) = reply["choices"]
        tokens = post(f"{stub.root}/tokenize", {"messages": ASK})["tokens"]
        also = post(f"{stub.url}/tokenize", {"messages": ASK})["tokens"]
    assert choice["prompt_token_ids"] == tokens == also
    assert choice["response_token_ids"][-1] == choice["matched_stop"] == END
    assert len(choice["logprobs"]["content"]) == len(choice["response_token_ids"])
    assert "prompt_token_ids" not in reply


def test_sglang_takes_ids_in_place_of_messages() -> None:
    with stub_server("sglang", tokenizer=TINY) as stub:
        asked = {"return_prompt_token_ids": True, "input_ids": [1, 2, 3]}
        (choice,) = chat(stub.url, **asked)["choices"]
    assert choice["prompt_token_ids"] == [1, 2, 3]


def test_sglang_generates_from_ids_and_replays_them() -> None:
    with stub_server("sglang", tokenizer=TINY) as stub:
        url = f"{stub.root}/generate"
        ask = {"input_ids": [1, 2, 3], "sampling_params": {"max_new_tokens": 50}}
        reply = post(url, {**ask, "return_logprob": True, "rid": "r1"})
        prompt = [1, 2, 3, *reply["output_ids"]]
        replay = {"input_ids": prompt, "sampling_params": {"max_new_tokens": 0}}
        again = post(url, {**replay, "return_logprob": True, "logprob_start_len": 0})
    meta = reply["meta_info"]
    assert [at for _, at, _ in meta["output_token_logprobs"]] == reply["output_ids"]
    assert meta["finish_reason"] == {"type": "stop", "matched": END}
    assert (meta["id"], meta["weight_version"], meta["prompt_tokens"]) == ("r1", "default", 3)
    told = again["meta_info"]["input_token_logprobs"]
    assert told[0] == [None, 1, None]
    assert told[3:] == meta["output_token_logprobs"]
    assert again["output_ids"] == []


def test_sglang_streams_all_that_there_is_up_to_now() -> None:
    with stub_server("sglang", tokenizer=TINY) as stub:
        ask = {"text": "hi", "return_logprob": True, "sampling_params": {}}
        parts = events(f"{stub.root}/generate", ask)
    assert [len(part["output_ids"]) for part in parts] == list(range(1, len(parts) + 1))
    assert parts[-1]["meta_info"]["finish_reason"]["type"] == "stop"


def test_sglang_aborts_by_name() -> None:
    faults = StubFaults(token_delay=0.05)
    with stub_server("sglang", tokenizer=TINY, faults=faults) as stub:
        replies: list[Body] = []
        params = {"ignore_eos": True, "max_new_tokens": 1000}
        body = {"text": "hi", "sampling_params": params, "rid": "long"}
        thread = threading.Thread(
            target=lambda: replies.append(post(f"{stub.root}/generate", body))
        )
        thread.start()
        while not stub.sampled:
            time.sleep(0.01)
        send(f"{stub.root}/abort_request", {"rid": "other"})
        send(f"{stub.root}/abort_request", {"rid": "long"})
        thread.join(30)
    assert replies[0]["meta_info"]["finish_reason"] == {"type": "abort"}
    assert len(replies[0]["output_ids"]) < 1000


def test_nemo_rl_has_ids_on_the_message() -> None:
    with stub_server("nemo_rl", tokenizer=TINY) as stub:
        message = chat(stub.url, **PINNED)["choices"][0]["message"]
        tokens = post(f"{stub.root}/tokenize", {"messages": ASK})["tokens"]
        missing = send(f"{stub.url}/models", method="GET")[0]
    assert message["prompt_token_ids"] == tokens
    assert message["generation_token_ids"][-1] == END
    assert len(message["generation_log_probs"]) == len(message["generation_token_ids"])
    assert missing == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"top_p": None},
        {"temperature": None},
        {"top_k": 5},
        {"logprobs": True, "top_logprobs": None},
    ],
)
def test_nemo_rl_fails_on_what_it_does_not_train_with(wrong: Body) -> None:
    with stub_server("nemo_rl", tokenizer=TINY) as stub:
        status, text, _ = send(f"{stub.url}/chat/completions", {"messages": ASK, **PINNED, **wrong})
    assert status == 500
    assert "AssertionError" in text


@pytest.mark.parametrize("drift", ["merge", "tool_rerender", "drop_reasoning", "newline"])
def test_nemo_rl_keeps_the_prefix_in_spite_of_drift(drift: str) -> None:
    with stub_server("nemo_rl", tokenizer=TINY, drift={drift}) as stub:
        messages: list[Body] = list(ASK)
        first = chat(stub.url, messages, tools=[WEATHER], **PINNED)["choices"][0]["message"]
        messages += [first, {"role": "tool", "content": "sunny"}]
        second = chat(stub.url, messages, tools=[WEATHER], **PINNED)["choices"][0]["message"]
        prefix = first["prompt_token_ids"] + first["generation_token_ids"]
        bare = {"role": "assistant", "content": None, "tool_calls": first["tool_calls"]}
        messages[1] = bare
        named = chat(
            stub.url, messages, tools=[WEATHER], required_prefix_token_ids=prefix, **PINNED
        )["choices"][0]["message"]
        without = chat(stub.url, messages, tools=[WEATHER], **PINNED)["choices"][0]["message"]
    assert second["prompt_token_ids"][: len(prefix)] == prefix
    assert named["prompt_token_ids"] == second["prompt_token_ids"]
    assert without["prompt_token_ids"][: len(prefix)] != prefix


def test_llamacpp_has_ids_within_the_log_probabilities() -> None:
    with stub_server("llamacpp", tokenizer=TINY) as stub:
        reply = chat(stub.url, logprobs=True)
        prompt = post(f"{stub.root}/apply-template", {"messages": ASK})["prompt"]
        ids = post(f"{stub.root}/tokenize", {"content": prompt})["tokens"]
        text = post(f"{stub.root}/detokenize", {"tokens": ids})["content"]
        ask = {"prompt": ids, "return_tokens": True, "n_probs": 1, "n_predict": 50}
        native = post(f"{stub.root}/completion", ask)
        parts = events(f"{stub.root}/completion", ask)
    sampled = [entry["id"] for entry in reply["choices"][0]["logprobs"]["content"]]
    assert text == prompt
    assert native["tokens"] == sampled
    assert [entry["id"] for entry in native["completion_probabilities"]] == sampled
    assert (native["stop_type"], native["tokens_evaluated"]) == ("eos", len(ids))
    assert [at for part in parts for at in part["tokens"]] == sampled[:-1]
    assert "prompt_token_ids" not in json.dumps(reply)


def test_a_plain_server_tells_nothing_of_tokens() -> None:
    with stub_server("plain", tokenizer=TINY, policy=ToolPolicy(think=True)) as stub:
        reply = chat(stub.url, tools=[WEATHER], **IDS)
        statuses = [
            send(f"{stub.root}{path}", {})[0]
            for path in ("/tokenize", "/v1/completions", "/inference/v1/generate", "/generate")
        ]
        parts = events(f"{stub.url}/chat/completions", {"messages": ASK, **IDS})
    assert not any(name in json.dumps([reply, *parts]) for name in ("token_ids", '"logprob"'))
    assert reply["choices"][0]["message"]["tool_calls"]
    assert reply["choices"][0]["message"]["reasoning_content"]
    assert statuses == [404] * 4


@pytest.mark.parametrize("mode", ["keep", "wait", "abort"])
def test_vllm_pauses(mode: str) -> None:
    faults = StubFaults(token_delay=0.01)
    with stub_server(tokenizer=TINY, scale_out=True, faults=faults) as stub:
        url = f"{stub.root}/inference/v1/generate"
        body = {"token_ids": [1], "sampling_params": {"max_tokens": 40, "ignore_eos": True}}
        replies: list[Any] = []
        thread = threading.Thread(target=lambda: replies.append(post(url, body)))
        thread.start()
        while not stub.sampled:
            time.sleep(0.01)
        assert send(f"{stub.root}/pause?mode={mode}")[0] == 200
        if mode != "keep":
            thread.join(30)
            assert replies
        later = threading.Thread(target=lambda: replies.append(post(url, body)))
        later.start()
        time.sleep(0.1)
        assert len(replies) == (mode != "keep")
        post(f"{stub.root}/update_weight_version", {"new_version": "2"})
        assert send(f"{stub.root}/resume")[0] == 200
        thread.join(30)
        later.join(30)
    spans = [reply["choices"][0]["weight_versions"] for reply in replies]
    versions = sorted([span["version"] for span in of] for of in spans)
    reasons = sorted(reply["choices"][0]["finish_reason"] for reply in replies)
    first = ["default", "2"] if mode == "keep" else ["default"]
    assert versions == [["2"], first]
    assert reasons == (["abort", "length"] if mode == "abort" else ["length", "length"])


def test_vllm_updates_weights_step_by_step() -> None:
    with stub_server(tokenizer=TINY, scale_out=True) as stub:
        for path in ("init_weight_transfer_engine", "start_weight_update", "update_weights"):
            assert post(f"{stub.root}/{path}", {})["message"]
        post(f"{stub.root}/finish_weight_update", {"weight_version": "9"})
        _, info, _ = send(f"{stub.root}/weight_info", method="GET")
        given = {"token_ids": [1], "sampling_params": {"max_tokens": 2}}
        (choice,) = post(f"{stub.root}/inference/v1/generate", given)["choices"]
    assert json.loads(info) == {"weight_version": "9"}
    assert choice["weight_versions"] == [{"version": "9", "start": 0, "end": 2}]


def test_vllm_ends_samples_as_it_is_told() -> None:
    with stub_server(tokenizer=TINY, policy=lambda _: "The answer is 42.") as stub:
        long = chat(stub.url, **IDS)["choices"][0]
        cut = chat(stub.url, **IDS, max_tokens=2)["choices"][0]
        stopped = chat(stub.url, **IDS, stop=["is 4", "none"])["choices"][0]
        marked = chat(stub.url, **IDS, stop_token_ids=[long["token_ids"][1]])["choices"][0]
    assert (long["message"]["content"], long["finish_reason"]) == ("The answer is 42.", "stop")
    assert (cut["token_ids"], cut["finish_reason"]) == (long["token_ids"][:2], "length")
    assert (stopped["message"]["content"], stopped["stop_reason"]) == ("The answer ", "is 4")
    assert len(stopped["token_ids"]) < len(long["token_ids"])
    assert (marked["token_ids"], marked["finish_reason"]) == (long["token_ids"][:2], "stop")
    assert marked["stop_reason"] == long["token_ids"][1]


def test_vllm_returns_no_log_probabilities_for_null() -> None:
    with stub_server(tokenizer=TINY) as stub:
        without = chat(stub.url, logprobs=True, top_logprobs=None)["choices"][0]
        omitted = chat(stub.url, logprobs=True)["choices"][0]
    assert without["logprobs"] is None
    assert omitted["logprobs"]["content"]


def sources(dialect: str, faults: StubFaults) -> list[list[int] | None]:
    """The sampled ids by each source that a chat reply of the dialect has, in text or number."""
    asked = {"return_token_ids": True, "return_tokens_as_token_ids": True, "logprobs": True}
    with stub_server(dialect, tokenizer=TINY, faults=faults) as stub:
        (choice,) = chat(stub.url, **asked, **PINNED)["choices"]
        told = choice["logprobs"]["content"]
        texts = [stub.tokenizer.token_text(at) for at in range(stub.tokenizer.size)]
    message = choice["message"]
    fields = (choice.get("token_ids"), choice.get("response_token_ids"))
    ids = next((f for f in (*fields, message.get("generation_token_ids")) if f), None)
    if "id" in told[0]:
        return [ids, [entry["id"] for entry in told]]
    named = [entry["token"] for entry in told]
    if not named[0].startswith("token_id:"):
        return [ids, [texts.index(text) for text in named]]
    return [ids, [int(name.removeprefix("token_id:")) for name in named]]


@pytest.mark.parametrize("dialect", ["vllm", "sglang", "nemo_rl"])
def test_sources_agree_unless_they_are_to_disagree(dialect: str) -> None:
    ids, named = sources(dialect, StubFaults())
    others, wrong = sources(dialect, StubFaults(disagreeing=True))
    missing, _ = sources(dialect, StubFaults(missing_ids=True))
    assert ids == named == others
    assert wrong != others
    assert missing is None


def test_llamacpp_can_leave_its_ids_out() -> None:
    with stub_server("llamacpp", tokenizer=TINY, faults=StubFaults(missing_ids=True)) as stub:
        reply = chat(stub.url, logprobs=True)
    assert "id" not in reply["choices"][0]["logprobs"]["content"][0]


@pytest.mark.parametrize("dialect", ["vllm", "sglang", "nemo_rl", "llamacpp"])
def test_a_schema_is_obeyed(dialect: str) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    with stub_server(dialect, tokenizer=TINY) as stub:
        message = chat(stub.url, response_format=wanted, **PINNED)["choices"][0]["message"]
    assert isinstance(json.loads(message["content"])["n"], int)

"""ART's trajectories from recorded calls: the wire alone, and with the real package if there."""

import asyncio
import json
import math
import random
from itertools import groupby

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from athlos import ConfigError, Environment, Task, reward
from athlos.engine import Group
from athlos.errors import AthlosError
from athlos.testing.trainer_contract import Row, check_rows, random_case
from athlos.testing.trainer_contract.cases import CONTEXT
from athlos.train import Projection, art, versions
from athlos.train.art_wire import choice, history, prompt_messages
from athlos.types import Message

REASON = "pip install 'openpipe-art>=0.5.18,<0.5.24' to run this"
DIALECTS = ("vllm", "sglang", "none")


def dressed(case, dialect):
    """The case with bodies as a server sends them; messages say what the ids are."""
    for rollout in case.rollouts:
        for number, call in enumerate(rollout.calls):
            if call.prompt_token_ids is None:
                continue
            if call.prompt_token_ids[-1] >= CONTEXT:
                call.finish_reason = "stop"  # ART 0.5.23 cannot tell two assistant turns apart then
            said = [
                {"role": "assistant" if sampled else "user", "content": " ".join(map(str, ids))}
                for sampled, ids in groupby(call.prompt_token_ids, lambda one: one >= CONTEXT)
            ]
            call.api = "chat"
            call.prompt_messages = 0
            call.request = msgspec.Raw(msgspec.json.encode({"model": "p", "messages": said}))
            if dialect == "none":
                continue
            own = {"prompt_token_ids": call.prompt_token_ids}
            reply = {
                "index": 0,
                "finish_reason": call.finish_reason,
                "message": {"role": "assistant", "content": " ".join(map(str, call.token_ids))},
                "logprobs": {
                    "content": [
                        {"token": "x", "logprob": one, "bytes": [120], "top_logprobs": []}
                        for one in call.logprobs or ()
                    ]
                },
                ("token_ids" if dialect == "vllm" else "response_token_ids"): call.token_ids,
            }
            body = {"id": f"c{number}", "object": "chat.completion", "created": 1, "model": "p",
                    "choices": [reply if dialect == "vllm" else {**reply, **own}],
                    **(own if dialect == "vllm" else {})}  # fmt: skip
            call.response = msgspec.Raw(msgspec.json.encode(body))
    return case


def group_of(case, truncated="train", failures=True):
    projection = Projection(advantages="none", truncated=truncated)
    broken = case.failures if failures else []
    return projection.group(Group(Task("x", id="task"), 0, case.rollouts, broken), 8)


def read_choice(said):
    entries = said["logprobs"]["content"]
    ids = [int(one["token"].removeprefix("token_id:")) for one in entries]
    return ids, [one["logprob"] for one in entries]


@settings(deadline=None, max_examples=120)
@given(st.integers(0, 10**9), st.sampled_from(DIALECTS))
def test_each_trained_token_is_in_one_choice_with_its_log_probability(seed, dialect):
    case = dressed(random_case(random.Random(seed)), dialect)
    for one in group_of(case).rollouts:
        found = []
        for sequence in one.sequences:
            parts = history(one.rollout, sequence)
            choices = [said for part in parts for said in part if "finish_reason" in said]
            assert len(choices) == len(sequence.spans)
            for said, span in zip(choices, sequence.spans, strict=True):
                ids, logprobs = read_choice(said)
                assert ids == sequence.token_ids[span.start : span.end]
                assert logprobs == sequence.logprobs[span.start : span.end]
                assert said["token_ids"] == ids
                found += ids
        wanted = [
            token
            for sequence in one.sequences
            for token, kept in zip(sequence.token_ids, sequence.loss_mask, strict=True) if kept
        ]  # fmt: skip
        assert found == wanted


@settings(deadline=None, max_examples=120)
@given(st.integers(0, 10**9), st.sampled_from(DIALECTS))
def test_an_exchange_has_the_ids_of_the_record_wherever_the_server_put_them(seed, dialect):
    case = dressed(random_case(random.Random(seed)), dialect)
    for one in group_of(case).rollouts:
        made = art.exchanges(one)
        calls = [one.rollout.calls[n] for n in sorted(_trained(one))]
        assert set(made) <= {"chat_completions"}
        for call, said in zip(calls, made.get("chat_completions", []), strict=True):
            assert said["response"]["prompt_token_ids"] == call.prompt_token_ids
            (only,) = said["response"]["choices"]
            assert only["token_ids"] == call.token_ids
            assert read_choice(only) == (call.token_ids, call.logprobs)
            assert said["request"]["messages"] == prompt_messages(one.rollout, call)
            assert said["end_time"] >= said["start_time"]
            json.dumps(said)


def _trained(one):
    return {span.call for sequence in one.trained for span in sequence.spans}


def test_what_was_said_comes_from_the_recorded_body():
    case = dressed(random_case(random.Random(3), shape="several turns"), "vllm")
    rollout = case.rollouts[0]
    call = rollout.calls[1]
    made = choice(rollout, call)
    assert made["message"]["content"] == " ".join(map(str, call.token_ids))
    assert {tuple(one["bytes"]) for one in made["logprobs"]["content"]} == {(120,)}
    rollout.messages = [Message("user", "a"), Message("assistant", "b")]
    call.prompt_messages, call.response = 1, msgspec.Raw(b"null")
    assert choice(rollout, call)["message"] == {"role": "assistant", "content": "b"}
    assert prompt_messages(rollout, call) == [{"role": "user", "content": "a"}]


def test_calls_without_messages_are_exchanges_by_token_ids():
    case = random_case(random.Random(3), shape="several turns")
    (one, *_) = group_of(case).rollouts
    for call in one.rollout.calls:
        call.prompt_messages = 0
    made = art.exchanges(one)
    assert set(made) == {"completions"}
    said = made["completions"][0]
    assert said["request"]["prompt"] == one.rollout.calls[0].prompt_token_ids
    assert said["response"]["choices"][0]["token_ids"] == one.rollout.calls[0].token_ids
    assert history(one.rollout, one.sequences[0]) == []


def test_exchanges_are_read_by_the_sdk():
    types = pytest.importorskip("openai.types.chat", reason="pip install openai to run this")
    case = dressed(random_case(random.Random(5), shape="several turns"), "sglang")
    for said in art.exchanges(group_of(case).rollouts[0])["chat_completions"]:
        read = types.ChatCompletion.model_validate(said["response"])
        assert read.model_extra["prompt_token_ids"] == said["response"]["prompt_token_ids"]


def test_another_version_is_refused(monkeypatch):
    monkeypatch.setattr(versions, "version", lambda name: "0.6.0")
    with pytest.raises(ConfigError, match=r"openpipe-art 0.6.0 is installed; .*0.5.18 up to"):
        art.trajectory(group_of(random_case(random.Random(1))).rollouts[0])


# With the real package -----------------------------------------------------------------------


@pytest.fixture
def real():
    return pytest.importorskip("art", reason=REASON)


def exchanges_generation(real):
    return "exchanges" in real.Trajectory.model_fields


@pytest.mark.parametrize("truncated", ["train", "mask"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_real_trajectories_train_what_the_core_trains(real, dialect, truncated):
    checked = 0
    for seed in range(60):
        case = dressed(random_case(random.Random(seed)), dialect)
        group = group_of(case, truncated)
        made = art.trajectory_group(group)
        assert [one.reward for one in made.trajectories] == [one.reward for one in group.rollouts]
        assert len(made.exceptions) == len(case.failures)
        rows = []
        for one, trajectory in zip(group.rollouts, made.trajectories, strict=True):
            read = _exchanged if exchanges_generation(real) else _chosen
            rows += read(one, trajectory)
            assert trajectory.initial_policy_version == one.dispatched
            assert trajectory.final_policy_version == one.completed
        check_rows(
            case, rows,
            masked=lambda one: truncated == "mask" and one.status == "truncated",
        )  # fmt: skip
        checked += len(rows)
    assert checked > 50


def _chosen(one, trajectory):
    """0.5.18: rows of its histories, in which only choices are trained."""
    from openai.types.chat.chat_completion import Choice

    histories = [trajectory.messages_and_choices]
    histories += [more.messages_and_choices for more in trajectory.additional_histories]
    rows, left = [], list(one.trained)
    for said in histories:
        choices = [part for part in said if isinstance(part, Choice)]
        if not choices:
            continue
        sequence = left.pop(0)  # each history is one, in their order
        mask, logprobs, at = [0] * len(sequence.token_ids), [0.0] * len(sequence.token_ids), 0
        for part, span in zip(choices, sequence.spans, strict=True):
            for at, entry in enumerate(part.logprobs.content, span.start):
                assert int(entry.token.removeprefix("token_id:")) == sequence.token_ids[at]
                mask[at], logprobs[at] = 1, entry.logprob
            assert at == span.end - 1
        rows.append(Row(rollout_id=one.id, token_ids=sequence.token_ids, loss_mask=mask,
                        logprobs=logprobs))  # fmt: skip
    assert not left
    return rows


class Words:
    """A tokenizer for tests, of the messages of `dressed`: a word is an id, 1 ends a turn."""

    eos_token, eos_token_id, all_special_ids, vocab_size = "</s>", 1, [1], 10_000
    chat_template = "words"

    def __call__(self, text, **_):
        return {"input_ids": self.encode(text)}

    def encode(self, text, **_):
        return [int(word) for word in text.split() if word.isdigit()]

    def decode(self, ids, **_):
        return " ".join(map(str, ids))

    def convert_tokens_to_ids(self, token):
        return 1

    def apply_chat_template(self, messages, tokenize=True, **_):
        text = " ".join(
            message["content"] + (" 1" if message["role"] == "assistant" else "")
            for message in messages
        )
        return self.encode(text) if tokenize else text


def _exchanged(one, trajectory):
    """0.5.23: rows of what it tokenizes itself.

    All ids are on the wire; it wants a tokenizer for the end of a reply that was cut off.
    """
    from art.trajectories import TokenFlag, first_occurrence_masks

    if not trajectory.exchanges:
        return []
    histories = trajectory.tokenize(
        multi_history=True, tokenizer=Words(), base_model="words"
    ).histories
    masks = first_occurrence_masks(histories, where=TokenFlag.SAMPLED)
    return [
        Row(
            rollout_id=one.id,
            token_ids=list(history.tokens),
            loss_mask=[int(kept) for kept in mask],
            logprobs=[0.0 if math.isnan(value) else value for value in history.logprobs],
        )
        for history, mask in zip(histories, masks, strict=True)
        if any(mask)
    ]


class Asked(Environment):
    @classmethod
    def tasks(cls, config, split):
        yield Task("say yes", id="yes")

    @reward
    def said(self, rollout):
        if rollout.answer == "broken":
            raise ValueError("no verdict")
        return float(rollout.answer == "yes")


class Policy:
    """ART's registered model for tests, with OpenAI's real client over a transport of our own."""

    def __init__(self, texts):
        self.texts, self.asked, self.step = list(texts), [], 0

    def get_inference_name(self):
        return f"policy@{self.step}"

    def openai_client(self):
        import httpx
        import openai

        def answer(request):
            body = json.loads(request.content)
            self.asked.append(body)
            if self.texts[0] == "busy":
                self.texts.pop(0)
                return httpx.Response(429, headers={"retry-after": "0"}, json={"error": "busy"})
            text = self.texts.pop(0) if len(self.texts) > 1 else self.texts[0]
            entries = [{"token": f"token_id:{n}", "logprob": -0.5, "bytes": None,
                        "top_logprobs": []} for n in (7, 8)]  # fmt: skip
            reply = {
                "index": 0,
                "finish_reason": "stop",
                "logprobs": {"content": entries},
                "message": {"role": "assistant", "content": text},
                "token_ids": [7, 8],
            }
            return httpx.Response(200, json={
                "id": "c", "object": "chat.completion", "created": 1, "model": body["model"],
                "choices": [reply], "prompt_token_ids": [1, 2],
                "usage": {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4},
            })  # fmt: skip

        transport = httpx.MockTransport(answer)
        return openai.AsyncOpenAI(
            api_key="none", base_url="http://art/v1",
            http_client=httpx.AsyncClient(transport=transport),
        )  # fmt: skip


def run_rollouts(policy, count=1):
    async def main():
        rollouts = art.Rollouts(Asked, policy)
        try:
            made = []
            for step in range(count):
                policy.step = step
                rollouts.resume(step)
                made.append(await rollouts.rollout(rollouts.tasks[0]))
            return made
        finally:
            await rollouts.close()

    return asyncio.run(main())


def test_rollouts_ask_the_models_own_client(real):
    policy = Policy(["yes"])
    made = run_rollouts(policy, 2)
    assert [one.reward for one in made] == [1.0, 1.0]
    assert [one.initial_policy_version for one in made] == [0, 1]
    assert {body["model"] for body in policy.asked} == {"policy@0", "policy@1"}
    assert all(body["logprobs"] and body["return_token_ids"] for body in policy.asked)
    if exchanges_generation(real):
        (said,) = made[0].exchanges.chat_completions
        assert said.response.choices[0].model_extra["token_ids"] == [7, 8]
    else:
        message, said = made[0].messages_and_choices
        assert message == {"role": "user", "content": "say yes"}
        assert [one.token for one in said.logprobs.content] == ["token_id:7", "token_id:8"]


def test_a_failed_attempt_is_an_error_that_art_counts(real):
    with pytest.raises(AthlosError, match="verifier_error"):
        run_rollouts(Policy(["broken"]))


def test_a_busy_server_is_asked_again_by_athlos(real):
    policy = Policy(["yes", "yes", "busy", "yes"])
    (made,) = run_rollouts(policy)
    assert made.reward == 1.0

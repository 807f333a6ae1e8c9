"""Rollouts for these tests: calls with token ids, and conversations drawn at random."""

from hypothesis import strategies as st

from athlos import Call, Rollout, Usage


def call(prompt, sample, **fields):
    """A call with log-probabilities that say which token they are of."""
    given = {
        "prompt_messages": 1,
        "finish_reason": "stop",
        "usage": Usage(0 if prompt is None else len(prompt), 0 if sample is None else len(sample)),
        "started": 0.0,
        "latency": 0.1,
        "prompt_token_ids": None if prompt is None else list(prompt),
        "token_ids": None if sample is None else list(sample),
        "logprobs": None if sample is None else [-0.01 * (token + 1) for token in sample],
        "logprob_kind": "processed",
        "token_source": "engine",
    }
    return Call(**(given | fields))


def rollout(*calls, **fields):
    given = {"id": "t.0.0", "task_id": "t", "sample": 0, "environment": "e", "model": "m"}
    return Rollout(**(given | fields), calls=list(calls))


def trained(sequences):
    """Per sequence: the tokens, those that are context in brackets."""
    return [
        [token if on else [token] for token, on in zip(one.token_ids, one.loss_mask, strict=True)]
        for one in sequences
    ]


tokens = st.lists(st.integers(0, 3), min_size=1, max_size=5)


@st.composite
def conversations(draw):
    """Trees of calls, in the order in which they ended; few distinct tokens, so many coincide.

    A call goes on with an earlier one, asks the same prompt again, repeats a prompt with its tail
    changed, compacts the conversation, or begins another one, in its lineage or one of its own.
    Some were cut off, have no ids, or have ids that were made from text.
    """
    histories: list[tuple[str, list[int], list[int]]] = []
    calls = []
    versions = draw(st.sampled_from(["none", "number", "spans"]))
    for _ in range(draw(st.integers(1, 8))):
        ways = ["begin", "sub_agent"]
        if histories:
            ways += ["append", "append", "append", "sibling", "drift", "compact"]
        way = draw(st.sampled_from(ways))
        lineage, prompt = "", draw(tokens)
        if way == "sub_agent":
            lineage = draw(st.sampled_from(["a", "b"]))
        elif way != "begin":
            lineage, before, sampled = draw(st.sampled_from(histories))
            known = before + sampled
            if way == "append":
                prompt = known + draw(st.lists(st.integers(0, 3), max_size=4))
            elif way == "sibling":
                prompt = before
            elif way == "drift":
                kept = draw(st.integers(0, len(known)))
                prompt = known[:kept] + draw(tokens)
            else:
                prompt = known[: draw(st.integers(0, 2))] + known[-draw(st.integers(1, 3)) :]
        sample = draw(tokens)
        fields = {"lineage": lineage}
        if versions == "number":
            fields["policy_version"] = draw(st.integers(0, 2))
        elif versions == "spans":
            cut = draw(st.integers(0, len(sample)))
            fields["versions"] = spans([("old", 0, cut), ("new", cut, len(sample))])
        flaw = draw(st.sampled_from([""] * 8 + ["cut_off", "no_ids", "text", "no_logprobs", "raw"]))
        if flaw == "cut_off":
            fields["complete"] = False
        elif flaw == "no_ids":
            fields["prompt_token_ids"] = None
        elif flaw == "text":
            fields["token_source"] = "tokenizer"
        elif flaw == "no_logprobs":
            fields["logprobs"] = None
        elif flaw == "raw":
            fields["logprob_kind"] = "raw"
        fields["finish_reason"] = draw(st.sampled_from(["stop", "length"]))
        calls.append(call(prompt, sample, **fields))
        histories.append((lineage, prompt, sample))
    return rollout(*calls, reward=1.0)


def spans(parts):
    from athlos import VersionSpan

    return [VersionSpan(*part) for part in parts if part[1] < part[2]]

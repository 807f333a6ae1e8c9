"""Each invariant catches what no other one does; whatever is built keeps all of them."""

import copy
import importlib
import math

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from tests.sequences.rollouts import call, conversations, rollout, spans

from athlos import TokenError, VersionSpan
from athlos.sequences import Dropped, build, check
from athlos.types import Span

RULES = importlib.import_module("athlos.sequences.check").RULES
POLICIES = ("fork", "per_call", "main_only", "realign")


def two_calls():
    """A rollout of two calls, its sequence, and what was dropped: nothing."""
    one = rollout(
        call([1, 2], [3, 4], versions=spans([("a", 0, 1), ("b", 1, 2)])),
        call([1, 2, 3, 4, 5], [6, 7], policy_version=2),
    )
    built = build(one)
    return copy.deepcopy(one), copy.deepcopy(built.sequences), []


def another_trained_token(one, sequences, dropped):
    sequences[0].token_ids[3] = 9
    return r"call 0: .*position 3 has token 9 instead of 4"


def a_sample_without_mask(one, sequences, dropped):
    sequences[0].loss_mask[3] = 0
    return "call 0: the sampled token at position 3 is not trained"


def another_context(one, sequences, dropped):
    sequences[0].token_ids[4] = 9
    return r"call 1: .*position 4 has token 9 instead of 5"


def a_longer_context(one, sequences, dropped):
    one.calls[1].prompt_token_ids.append(8)
    return r"call 1: .*it ends at position 5, where token 8 should follow"


def more_behind_the_end(one, sequences, dropped):
    sequences[0].token_ids.append(8)
    sequences[0].loss_mask.append(0)
    sequences[0].logprobs.append(0.0)
    return "no engine saw the tokens from position 7 on"


def a_wrong_prompt_length(one, sequences, dropped):
    sequences[0].prompt_length = 1
    return "prompt_length of 1"


def a_log_probability_less(one, sequences, dropped):
    del sequences[0].logprobs[-1]
    return "7 token ids, 7 mask values, 6 log-probabilities"


def not_a_number(one, sequences, dropped):
    one.calls[1].logprobs[1] = sequences[0].logprobs[6] = math.nan
    return "call 1: the log-probability at position 6 is nan"


def impossible(one, sequences, dropped):
    one.calls[1].logprobs[1] = sequences[0].logprobs[6] = -math.inf
    return "call 1: the log-probability at position 6 is -inf"


def a_positive_log_probability(one, sequences, dropped):
    one.calls[1].logprobs[0] = sequences[0].logprobs[5] = 0.1
    return "call 1: the log-probability at position 5 is 0.1"


def another_log_probability(one, sequences, dropped):
    sequences[0].logprobs[2] = -3.0
    return "call 0: .*not those that the engine reported"


def a_log_probability_of_context(one, sequences, dropped):
    sequences[0].logprobs[4] = -3.0
    return "context from position 4 to 5 has a log-probability"


def two_kinds(one, sequences, dropped):
    one.calls[1].logprob_kind = "raw"
    return "call 1: its log-probabilities are raw, those before it processed"


def another_beginning(one, sequences, dropped):
    one.calls[1].prompt_token_ids[0] = 9
    return "call 1: .*begin with the prompt of call 0: position 0 has token 9 instead of 1"


def another_sample_in_the_prompt(one, sequences, dropped):
    one.calls[1].prompt_token_ids[3] = 9
    return "call 1: .*go on with the sample of call 0: position 3 has token 9 instead of 4"


def another_lineage(one, sequences, dropped):
    sequences[0].lineage = "sub"
    return "call 0: it is of lineage '', the sequence of 'sub'"


def trained_twice(one, sequences, dropped):
    sequences.append(copy.deepcopy(sequences[0]))
    return "call 0: its sample is trained in sequence 0, too"


def forgotten(one, sequences, dropped):
    sequences.clear()
    return "call 0: of 2 sampled tokens 0 are trained and 0 reported as dropped"


def trained_and_dropped(one, sequences, dropped):
    dropped.append(Dropped(1, "incomplete", 2))
    return "call 1: of 2 sampled tokens 2 are trained and 2 reported as dropped"


def dropped_twice(one, sequences, dropped):
    dropped += [Dropped(1, "overwritten", 0)] * 2
    return "call 1: .*reported as dropped, more than once"


def a_version_of_context(one, sequences, dropped):
    sequences[0].versions.insert(2, VersionSpan("a", 4, 5))
    return "version 'a' is of positions 4 to 5, which are no sample"


def versions_out_of_order(one, sequences, dropped):
    sequences[0].versions[:2] = reversed(sequences[0].versions[:2])
    return "version 'a' is of positions 2 to 3, which are no sample, or of another"


def another_version(one, sequences, dropped):
    sequences[0].versions[1].version = "c"
    return "weights 'c' of positions 3 to 4 are not those that the call names"


def a_version_less(one, sequences, dropped):
    del sequences[0].versions[1]
    return "the call names the weights of 2 tokens, the sequence of 1"


def a_version_behind_the_end(one, sequences, dropped):
    sequences[0].versions.append(VersionSpan("2", 7, 8))
    return "version '2' is of positions 7 to 8, behind the last sample"


def a_call_that_names_too_many(one, sequences, dropped):
    one.calls[0].versions[1].end = 3
    return "call 0: it names the weights of its tokens 1 to 3, and sampled 2"


def a_call_that_says_no_version(one, sequences, dropped):
    one.calls[1].policy_version = None
    del sequences[0].versions[2]
    return "call 1: which weights sampled it is not known, that of the calls before it is"


def a_reply_that_was_cut_off(one, sequences, dropped):
    one.calls[1].complete = False
    return "call 1: its reply was cut off; it is trained"


def ids_from_text(one, sequences, dropped):
    one.calls[0].token_source = "tokenizer"
    return "call 0: its token ids were made from text"


def a_trained_token_that_nobody_sampled(one, sequences, dropped):
    sequences[0].loss_mask[4] = 1
    return "token 5 at position 4 is trained, and no call sampled it"


def a_call_that_there_is_not(one, sequences, dropped):
    sequences[0].spans.insert(1, Span(4, 5, 2))
    return "call 2: positions 4 to 5 are trained, and there is no such call"


CORRUPTIONS = {
    "R1": (another_trained_token, a_sample_without_mask),
    "R2": (another_context, a_longer_context, more_behind_the_end, a_wrong_prompt_length),
    "R3": (
        a_log_probability_less,
        not_a_number,
        impossible,
        a_positive_log_probability,
        another_log_probability,
        a_log_probability_of_context,
        two_kinds,
    ),
    "R4": (another_beginning, another_sample_in_the_prompt, another_lineage),
    "R5": (trained_twice, forgotten, trained_and_dropped, dropped_twice),
    "R6": (
        a_version_of_context,
        versions_out_of_order,
        another_version,
        a_version_less,
        a_version_behind_the_end,
        a_call_that_names_too_many,
        a_call_that_says_no_version,
    ),
    "R7": (a_reply_that_was_cut_off, ids_from_text),
    "R8": (a_trained_token_that_nobody_sampled, a_call_that_there_is_not),
}


def test_every_rule_has_its_corruptions():
    assert set(CORRUPTIONS) == set(RULES) == {f"R{n}" for n in range(1, 9)}


@pytest.mark.parametrize(
    ("rule", "corrupt"), [(rule, one) for rule, all_of in CORRUPTIONS.items() for one in all_of]
)
def test_only_one_rule_catches_it(rule, corrupt, monkeypatch):
    one, sequences, dropped = two_calls()
    check(sequences, one, dropped=dropped)
    said = corrupt(one, sequences, dropped)
    with pytest.raises(TokenError, match=said) as raised:
        check(sequences, one, dropped=dropped)
    assert raised.value.rule == rule
    assert str(raised.value).startswith("rollout t.0.0")
    monkeypatch.delitem(RULES, rule)
    check(sequences, one, dropped=dropped)


def test_sequences_of_another_rollout():
    one, sequences, _ = two_calls()
    sequences[0].rollout_id = "u.0.0"
    with pytest.raises(TokenError, match=r"rollout t\.0\.0, .* another rollout, u\.0\.0"):
        check(sequences, one)


def test_a_part_of_the_sequences_may_be_checked():
    one = rollout(call([1], [2]), call([3], [4]))
    sequences = one.sequences()[1:]
    check(sequences, one)
    with pytest.raises(TokenError, match="call 0: of 1 sampled tokens 0 are trained"):
        check(sequences, one, dropped=())


def test_the_error_shows_text_if_it_can():
    one, sequences, _ = two_calls()
    sequences[0].token_ids[4] = 9
    with pytest.raises(TokenError, match=r"position 4 has token 9 .*\('9' instead of '5'\)"):
        check(sequences, one, decode=lambda ids: " ".join(map(str, ids)))


def test_what_is_built_is_checked(monkeypatch):
    seen = []
    monkeypatch.setitem(RULES, "R1", seen.append)
    rollout(call([1], [2])).sequences()
    assert len(seen) == 1


@pytest.mark.parametrize("versions", [[("a", 0, 3)], [("a", 0, 2), ("b", 1, 2)], [("a", -1, 2)]])
def test_versions_that_make_no_sense_are_an_error(versions):
    with pytest.raises(TokenError) as raised:
        rollout(call([1], [2, 3], versions=spans(versions))).sequences()
    assert raised.value.rule == "R6"


def test_calls_that_know_their_weights_beside_others_that_do_not_are_an_error():
    spans = [VersionSpan("3", 0, 1)]
    one = rollout(call([1], [2], versions=spans), call([1], [3]))
    with pytest.raises(TokenError, match="call 1: which weights sampled it is not known"):
        one.sequences()


@settings(deadline=None)
@given(conversations(), st.sampled_from(POLICIES), st.integers(0, 6))
@example(rollout(call([0], [1]), call([0, 2], [3])), "realign", 1)
def test_whatever_happened_the_sequences_keep_the_rules(one, policy, window):
    before = copy.deepcopy(one)
    built = build(one, policy, window=window)
    assert one == before
    assert [s.part for s in built.sequences] == list(range(len(built.sequences)))
    sampled = sum(len(c.token_ids) for c in one.calls)
    assert built.trained_tokens + built.dropped_tokens == sampled
    assert sum(sum(s.loss_mask) for s in built.sequences) == built.trained_tokens


@settings(deadline=None)
@given(conversations(), st.sampled_from(["fork", "per_call"]))
def test_each_sampled_token_is_trained_once(one, policy):
    built = build(one, policy)
    unusable = {
        number
        for number, c in enumerate(one.calls)
        if not c.complete
        or c.prompt_token_ids is None
        or c.logprobs is None
        or c.token_source == "tokenizer"
    }
    assert {d.call for d in built.dropped} == unusable
    found = {span.call: (s, span) for s in built.sequences for span in s.spans}
    assert len(found) == sum(len(s.spans) for s in built.sequences)
    for number, c in enumerate(one.calls):
        if number in unusable:
            continue
        sequence, span = found[number]
        place = slice(span.start, span.end)
        assert sequence.token_ids[: span.end] == c.prompt_token_ids + c.token_ids
        assert sequence.loss_mask[place] == [1] * len(c.token_ids)
        assert sequence.logprobs[place] == c.logprobs


@settings(deadline=None)
@given(conversations())
def test_strict_gives_what_fork_gives_or_an_error(one):
    built = build(one)
    if built.forked:
        with pytest.raises(TokenError):
            build(one, "strict")
    else:
        assert build(one, "strict") == built


@settings(deadline=None)
@given(conversations())
def test_realign_without_a_window_is_fork(one):
    assert build(one, "realign", window=0) == build(one)


@settings(deadline=None)
@given(conversations(), st.integers(0, 6))
def test_realign_never_overwrites_more_than_its_window_at_once(one, window):
    built = build(one, "realign", window=window)
    overwritten = sum(d.tokens for d in built.dropped if d.reason == "overwritten")
    assert overwritten <= built.realigned * window


def _change(draw, sequence):
    """Changes one thing of a sequence, each that a rule is about."""
    place = draw(st.integers(0, len(sequence.token_ids) - 1))
    span = draw(st.sampled_from(sequence.spans))
    what = draw(
        st.sampled_from(
            ["token", "mask", "logprob", "start", "end", "call", "prompt", "lose", "add", "version"]
        )
    )
    if what == "token":
        sequence.token_ids[place] += 1
    elif what == "mask":
        sequence.loss_mask[place] = 1 - sequence.loss_mask[place]
    elif what == "logprob":
        sequence.logprobs[place] -= 1
    elif what in ("start", "end", "call"):
        setattr(span, what, getattr(span, what) + draw(st.sampled_from([-9, -1, 1, 9])))
    elif what == "prompt":
        sequence.prompt_length += draw(st.sampled_from([-1, 1]))
    elif what == "lose":
        values = draw(st.sampled_from(["token_ids", "loss_mask", "logprobs", "spans"]))
        getattr(sequence, values).pop()
    elif what == "add":
        sequence.token_ids.append(0)
        sequence.loss_mask.append(draw(st.integers(0, 1)))
        sequence.logprobs.append(0.0)
    elif sequence.versions:
        one = draw(st.sampled_from(sequence.versions))
        name = draw(st.sampled_from(["start", "end"]))
        setattr(one, name, getattr(one, name) + draw(st.sampled_from([-1, 1])))
    else:
        sequence.versions.append(VersionSpan("x", span.start, span.end))


@settings(deadline=None)
@given(conversations(), st.sampled_from(POLICIES), st.data())
def test_any_change_is_noticed(one, policy, data):
    built = build(one, policy, window=3)
    assume(built.sequences)
    sequences = copy.deepcopy(built.sequences)
    _change(data.draw, data.draw(st.sampled_from(sequences)))
    with pytest.raises(TokenError):
        check(sequences, one, dropped=built.dropped)

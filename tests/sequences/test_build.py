"""How calls become sequences, by each policy."""

import pickle

import pytest
from tests.sequences.rollouts import call, rollout, spans, trained

from athlos import ConfigError, TokenError, VersionSpan
from athlos.sequences import Dropped, build
from athlos.types import Span


def growing():
    """Three turns of one conversation."""
    return rollout(
        call([1, 2], [3, 4]),
        call([1, 2, 3, 4, 5], [6]),
        call([1, 2, 3, 4, 5, 6], [7, 8], finish_reason="length"),
        reward=0.5,
    )


@pytest.mark.parametrize("policy", ["fork", "strict", "main_only", "realign"])
def test_a_conversation_that_only_grows_is_one_sequence(policy):
    [sequence] = growing().sequences(policy)
    assert trained([sequence]) == [[[1], [2], 3, 4, [5], 6, 7, 8]]
    assert sequence.logprobs == [0, 0, -0.04, -0.05, 0, -0.07, -0.08, -0.09]
    assert sequence.spans == [Span(2, 4, 0), Span(5, 6, 1), Span(6, 8, 2)]
    assert (sequence.rollout_id, sequence.task_id, sequence.sample) == ("t.0.0", "t", 0)
    assert (sequence.part, sequence.parts, sequence.lineage) == (0, 1, "")
    assert (sequence.prompt_length, sequence.reward, sequence.truncated) == (2, 0.5, True)
    assert sequence.versions == []
    assert sequence.advantage is None


def test_per_call_makes_a_sequence_of_each_call():
    sequences = growing().sequences("per_call")
    assert trained(sequences) == [
        [[1], [2], 3, 4],
        [[1], [2], [3], [4], [5], 6],
        [[1], [2], [3], [4], [5], [6], 7, 8],
    ]
    assert [(one.part, one.parts) for one in sequences] == [(0, 3), (1, 3), (2, 3)]
    assert [one.truncated for one in sequences] == [False, False, True]


def test_a_prompt_that_differs_begins_a_new_sequence_and_trains_nothing_twice():
    built = build(rollout(call([1], [2, 3]), call([1, 2, 9], [4]), call([1, 2, 9, 4], [5])))
    assert trained(built.sequences) == [[[1], 2, 3], [[1], [2], [9], 4, 5]]
    assert (built.clean, built.realigned, built.forked) == (1, 0, 1)
    assert built.trained_tokens == 4
    assert built.dropped == []


def test_samples_of_one_prompt_are_sequences_of_their_own():
    sequences = rollout(call([1], [2]), call([1], [3]), call([1, 2, 7], [4])).sequences()
    assert trained(sequences) == [[[1], 2, [7], 4], [[1], 3]]


def test_a_repeated_turn_forks_with_what_was_trained_as_context():
    sequences = rollout(call([1], [2]), call([1, 2, 7], [4]), call([1, 2, 7], [5])).sequences()
    assert trained(sequences) == [[[1], 2, [7], 4], [[1], [2], [7], 5]]


def test_of_equal_samples_the_last_one_goes_on():
    sequences = rollout(call([1], [2]), call([1], [2]), call([1, 2], [3])).sequences()
    assert trained(sequences) == [[[1], 2], [[1], 2, 3]]


def test_the_longest_sequence_goes_on():
    one = rollout(call([1], [2]), call([1], [2, 3]), call([1, 2, 3], [4]), call([1, 2, 9], [5]))
    assert trained(one.sequences()) == [[[1], 2, [9], 5], [[1], 2, 3, 4]]


def test_conversations_that_take_turns_are_told_apart():
    sequences = rollout(
        call([1], [2]),
        call([1, 2, 5, 5], [6], lineage="sub"),
        call([8], [9]),
        call([1, 2, 3], [4]),
        call([8, 9, 9], [8]),
        call([1, 2, 5, 5, 6, 7], [8], lineage="sub"),
    ).sequences()
    assert trained(sequences) == [
        [[1], 2, [3], 4],
        [[1], [2], [5], [5], 6, [7], 8],
        [[8], 9, [9], 8],
    ]
    assert [one.lineage for one in sequences] == ["", "sub", ""]


def test_a_shortened_conversation_forks():
    sequences = rollout(
        call([1, 2, 3], [4]), call([1, 9], [5]), call([1, 9, 5, 6], [7])
    ).sequences()
    assert trained(sequences) == [[[1], [2], [3], 4], [[1], [9], 5, [6], 7]]


def test_main_only_takes_the_sequence_of_the_last_call_of_the_main_conversation():
    one = rollout(
        call([1], [2]),
        call([8], [9]),
        call([1, 2, 3], [4]),
        call([5], [5], lineage="sub"),
    )
    built = build(one, "main_only")
    assert trained(built.sequences) == [[[1], 2, [3], 4]]
    assert built.dropped == [Dropped(1, "off_main", 1), Dropped(3, "off_main", 1)]
    assert (built.sequences[0].part, built.sequences[0].parts) == (0, 1)


def test_the_first_lineage_is_the_main_one_if_none_is_called_that():
    one = rollout(call([1], [2], lineage="a"), call([3], [4], lineage="b"))
    assert trained(one.sequences("main_only")) == [[[1], 2]]


def test_strict_says_where_a_prompt_does_not_go_on():
    one = rollout(call([1, 2], [3, 4]), call([1, 2, 3, 9, 5], [6]))
    with pytest.raises(TokenError) as raised:
        build(one, "strict", decode=lambda ids: "".join(chr(96 + token) for token in ids))
    assert str(raised.value) == (
        "rollout t.0.0, call 1: its prompt does not begin with that of call 0 and its sample: "
        "position 3 has token 9 instead of 4 ('abci' instead of 'abcd')\n"
        "The policy fork begins a new sequence here."
    )
    error = pickle.loads(pickle.dumps(raised.value))
    assert (error.rule, error.rollout_id, error.call, error.position) == ("R4", "t.0.0", 1, 3)
    assert isinstance(error, ValueError)


def test_strict_says_that_a_prompt_is_too_short_and_of_which_lineage():
    one = rollout(call([1], [2], lineage="sub"), call([1], [3], lineage="sub"))
    with pytest.raises(TokenError, match=r"of lineage 'sub': .* ends at position 1, where token 2"):
        one.sequences("strict")


def test_strict_takes_one_sequence_of_each_lineage():
    one = rollout(call([1], [2]), call([5], [6], lineage="sub"), call([1, 2], [3]))
    assert trained(one.sequences("strict")) == [[[1], 2, 3], [[5], 6]]


def test_log_probabilities_of_another_kind_begin_a_new_sequence():
    one = rollout(call([1], [2]), call([1, 2], [3], logprob_kind="raw"))
    assert trained(one.sequences()) == [[[1], 2], [[1], [2], 3]]
    with pytest.raises(
        TokenError, match=r"call 1: its log-probabilities are raw, those .* processed"
    ):
        one.sequences("strict")


def test_realign_overwrites_a_tail_that_drifted():
    one = rollout(call([1], [2, 3]), call([1, 2, 9, 9, 9], [4]), call([1, 2, 9, 9, 9, 4], [5]))
    built = build(one, "realign", window=1)
    assert trained(built.sequences) == [[[1], 2, [9], [9], [9], 4, 5]]
    assert built.dropped == [Dropped(0, "overwritten", 1)]
    assert built.dropped_tokens == 1
    assert (built.clean, built.realigned, built.forked) == (1, 1, 0)


def test_realign_may_overwrite_whole_samples():
    one = rollout(call([1], [2]), call([1, 2], [3]), call([1, 2], [4]), call([1, 2, 8, 8], [5]))
    built = build(one, "realign")
    assert trained(built.sequences) == [[[1], 2, 3], [[1], [2], [8], [8], 5]]
    assert built.dropped == [Dropped(2, "overwritten", 1)]


def test_realign_forks_where_the_drift_is_longer_than_the_window():
    one = rollout(call([1], [2, 3, 4]), call([1, 2, 9], [5]))
    assert trained(one.sequences("realign", window=1)) == [[[1], 2, 3, 4], [[1], [2], [9], 5]]
    assert trained(one.sequences("realign", window=2)) == [[[1], 2, [9], 5]]


def test_realign_leaves_second_samples_and_other_conversations_alone():
    one = rollout(call([1, 2], [3]), call([1, 2], [4]), call([1, 8], [5]))
    assert trained(one.sequences("realign")) == [[[1], [2], 3], [[1], [2], 4], [[1], [8], 5]]


def test_realign_takes_the_sequence_that_loses_least():
    one = rollout(call([1], [2, 3, 4]), call([1], [2, 5, 6]), call([1, 2, 3, 9], [7]))
    assert trained(one.sequences("realign")) == [[[1], 2, 3, [9], 7], [[1], 2, 5, 6]]


def test_versions_move_to_places_of_the_sequence_and_are_cut_with_their_tokens():
    one = rollout(
        call([1], [2, 3, 4], versions=spans([("a", 0, 1), ("b", 1, 3)])),
        call([1, 2, 3, 9], [5], policy_version=7),
    )
    [sequence] = one.sequences("realign")
    assert sequence.versions == [
        VersionSpan("a", 1, 2),
        VersionSpan("b", 2, 3),
        VersionSpan("7", 4, 5),
    ]


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        ("incomplete", {"complete": False}),
        ("no_ids", {"prompt_token_ids": None}),
        ("tokenizer_ids", {"token_source": "tokenizer"}),
        ("no_logprobs", {"logprobs": None}),
        ("bad_logprobs", {"logprobs": [-1.0]}),
        ("bad_logprobs", {"logprobs": [-1.0, float("nan")]}),
        ("bad_logprobs", {"logprobs": [-1.0, float("-inf")]}),
        ("bad_logprobs", {"logprobs": [-1.0, 0.5]}),
    ],
)
@pytest.mark.parametrize("policy", ["fork", "strict", "per_call", "main_only", "realign"])
def test_a_call_that_cannot_be_trained_is_context_and_reported(policy, reason, fields):
    one = rollout(call([1], [2, 3], **fields), call([1, 2, 3, 4], [5]))
    built = build(one, policy)
    assert trained(built.sequences) == [[[1], [2], [3], [4], 5]]
    assert built.dropped == [Dropped(0, reason, 2)]


def test_calls_without_tokens_are_reported():
    built = build(rollout(call([1], []), call(None, None)))
    assert built.sequences == []
    assert built.dropped == [Dropped(0, "no_tokens", 0), Dropped(1, "no_ids", 0)]


def test_a_rollout_without_calls_has_no_sequences():
    assert rollout().sequences() == []


def test_ids_of_the_endpoint_are_trained():
    assert trained(rollout(call([1], [2], token_source="endpoint")).sequences()) == [[[1], 2]]


def test_mistakes_in_the_arguments():
    with pytest.raises(ConfigError, match="no sequence policy 'frok'"):
        rollout().sequences("frok")
    with pytest.raises(ConfigError, match="at least 0 tokens, not -1"):
        rollout().sequences("realign", window=-1)

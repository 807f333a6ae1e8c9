"""Golden cases of `blackjack`."""

import pytest
from tests.envs.golden import play

from athlos import Environment, Task, load
from athlos.envs.blackjack import value

HIT, STAND = "<action>hit</action>", "<action>stand</action>"


@pytest.mark.parametrize(
    ("hand", "expected"),
    [
        (["2", "3"], 5), (["K", "Q"], 20), (["A", "K"], 21), (["A", "A"], 12),
        (["A", "9", "A"], 21), (["A", "9", "5"], 15), (["10", "J", "2"], 22),
        (["A", "A", "A", "A"], 14), (["10", "10", "A"], 21), (["5", "5", "K", "A"], 21),
        (["7", "8", "A", "6"], 22), (["A"], 11),
    ],
)  # fmt: skip
def test_the_value_of_a_hand(hand, expected):
    assert value(hand) == expected


def outcome(player, dealer):
    if value(player) > 21:
        return -1
    if value(dealer) > 21 or value(player) > value(dealer):
        return 1
    return 0 if value(player) == value(dealer) else -1


@pytest.mark.parametrize("answer", [STAND, HIT, "", "I stand", "<action>fold</action>", "hit"])
def test_the_result_follows_from_the_cards(answer):
    results = set()
    for number in range(40):
        rollout = play("blackjack", Task("?", {"seed": f"s{number}"}), answer)
        player, dealer = rollout.extra["player"], rollout.extra["dealer"]
        assert rollout.reward == outcome(player, dealer)
        results.add(rollout.reward)
        if answer == HIT:
            assert value(player) > 21 and len(dealer) == 2
        else:
            assert len(player) == 2 and value(dealer) >= 17
            assert rollout.turns == 1
    assert results == ({-1} if answer == HIT else {-1, 0, 1})


@pytest.mark.parametrize("answer", ["<ACTION> Hit </ACTION>", f"no idea... {HIT} then {STAND}"])
def test_a_readable_hit_takes_a_card(answer):
    going_on = 0
    for number in range(10):
        rollout = play("blackjack", Task("?", {"seed": f"s{number}"}), answer, STAND)
        assert len(rollout.extra["player"]) == 3
        assert rollout.metrics["well_formed"] == 1
        if value(rollout.extra["player"]) <= 21:
            going_on += 1
            assert rollout.messages[3].text.startswith("Your hand:")
    assert going_on


def test_a_seed_deals_the_same_cards_and_rows_without_one_can_be_played():
    seeded = [play("blackjack", Task("?", {"seed": 3}), STAND).extra for _ in range(2)]
    assert seeded[0] == seeded[1]
    assert play("blackjack", Task("?"), STAND).reward in (-1, 0, 1)


def test_an_unfinished_hand_is_worth_nothing():
    env: Environment = load("blackjack")(Task("?", {"seed": 1}))
    env.setup()
    from athlos import Rollout

    assert env.result(Rollout("x", "t", 0, "blackjack", "m")) == 0

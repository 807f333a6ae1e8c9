"""Each rule of a verifier that NeMo Gym has as well: `POST /verify` gives the same reward.

The rules stand in the modules of `rules`, by environment.
"""

import asyncio
import importlib
import itertools
from pathlib import Path

import pytest
from tests.serve.rules.asking import InThisProcess, application, items_of, row_of, think
from tests.serve.rules.games import GAMES

MODULES = [
    importlib.import_module(f"tests.serve.rules.{path.stem}")
    for path in sorted((Path(__file__).parent / "rules").glob("*.py"))
]
CASES = {name: cases for module in MODULES for name, cases in getattr(module, "CASES", {}).items()}


@pytest.fixture(autouse=True)
def rewards_run_here(monkeypatch):
    monkeypatch.setattr("athlos.serve.mount.ProcessPool", InThisProcess)


def by_server(cases):
    """Cases that one server can answer, together."""

    def key(case):
        return (repr(case.settings), case.judge)

    for _, group in itertools.groupby(sorted(cases, key=key), key):
        yield list(group)


async def found_in(name, cases, wrong):
    settings, judge = cases[0].settings, cases[0].judge
    async with application(name, settings, judge) as post:
        for case in cases:
            for nested in (False, True):
                if case.only == ("top" if nested else "nested"):
                    continue
                body = {**row_of(case, nested), "response": {"output": items_of(case.answer)}}
                status, reply, _ = await post("/verify", body)
                expected = {"reward": case.reward, **case.also}
                got = {key: reply.get(key) for key in expected}
                if status != 200 or not same(got, expected):
                    wrong.append((case.rule, nested, expected, got if status == 200 else reply))


def same(got, expected):
    return all(
        value == pytest.approx(expected[key])
        if isinstance(value, float)
        else value == expected[key]
        for key, value in got.items()
    )


@pytest.mark.parametrize("name", CASES)
def test_every_rule_gives_its_reward(name):
    wrong = []
    for cases in by_server(CASES[name]):
        asyncio.run(found_in(name, cases, wrong))
    assert not wrong, "\n".join(map(repr, wrong))


NOT_ZERO_WITHOUT_TEXT = {
    "xlam_fc": "no call may be what is expected",
    "example_tool_call_multireward": "the format is that there is no text",
}


@pytest.mark.parametrize("name", [name for name in CASES if name not in NOT_ZERO_WITHOUT_TEXT])
def test_an_answer_without_text_earns_nothing(name):
    async def main():
        case = next(case for case in CASES[name] if case.reward > 0 and not case.settings)
        async with application(name) as post:
            found = []
            for output in ([], [items_of("")[0]], items_of(" \n"), THOUGHT):
                body = {**row_of(case, False), "response": {"output": output}}
                status, reply, _ = await post("/verify", body)
                found.append((status, reply.get("reward")))
            return found

    assert asyncio.run(main()) == [(200, 0.0)] * 4


THOUGHT = [think("The answer is \\boxed{A}.")]


@pytest.mark.parametrize("name", GAMES)
def test_games_pay_what_each_step_is_worth(name):
    async def main():
        wrong = []
        async with application(name) as post:
            for game in GAMES[name]:
                params = {
                    "responses_create_params": {"input": [{"role": "user", "content": "Go."}]}
                }
                status, reply, session = await post("/reset", {**params, **game.fields})
                assert status == 200, reply
                shown = [reply["observation"]]
                for said in game.answers:
                    body = {**params, "response": {"output": items_of(said)}}
                    status, reply, _ = await post("/step", body, session)
                    assert status == 200, (game.rule, reply)
                    shown.append(reply["observation"])
                due = game.reward(shown) if callable(game.reward) else game.reward
                if (reply["terminated"], reply["reward"]) != (game.over, pytest.approx(due)):
                    wrong.append((game.rule, due, reply))
        return wrong

    wrong = asyncio.run(main())
    assert not wrong, "\n".join(map(repr, wrong))

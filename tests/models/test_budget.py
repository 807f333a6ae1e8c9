"""Ceilings of tokens and cost."""

import asyncio

import pytest
from tests.models.servers import Server

from athlos import ConfigError, Message, Model
from athlos.errors import BudgetError
from athlos.models import Budget
from athlos.testing import simulate
from athlos.types import Usage

HELLO = [Message("user", "hello")]  # the server counts 10 + 5 tokens


async def spend_all(budget, *models, workers, calls):
    """How many calls were answered, and how many refused."""
    jobs = iter(range(calls))
    answered = refused = 0

    async def work(model):
        nonlocal answered, refused
        session = model.session("", budget)
        for _ in jobs:
            try:
                await session.chat(HELLO)
                answered += 1
            except BudgetError:
                refused += 1

    await asyncio.gather(*(work(models[n % len(models)]) for n in range(workers)))
    return answered, refused


@pytest.mark.parametrize("workers", [1, 8, 64])
@pytest.mark.parametrize("sampling", [{}, {"max_tokens": 5}, {"max_tokens": 4096}])
def test_a_run_stops_at_the_ceiling(workers, sampling):
    budget = Budget(max_tokens=1500)
    model = Model(name="m", transport=Server(), sampling=sampling)
    answered, refused = simulate(lambda: spend_all(budget, model, workers=workers, calls=1000))
    assert answered + refused == 1000
    assert budget.reached
    assert budget.tokens == 15 * answered
    over = 15 if sampling.get("max_tokens") == 4096 else 15 * workers  # of the first calls
    assert 1500 - 15 <= budget.tokens <= 1500 + over


def test_models_of_different_prices_share_a_ceiling():
    budget = Budget(max_cost=1.0)
    cheap = Model(name="m", transport=Server(), price=(10.0, 100.0))
    dear = Model(name="m", transport=Server(), price=(1000.0, 10_000.0))
    simulate(lambda: spend_all(budget, cheap, dear, workers=2, calls=10_000))
    assert budget.reached
    assert 0.93 <= budget.cost <= 1.0
    assert budget.cost == pytest.approx(budget.calls / 2 * 0.0606, abs=0.06)


def test_the_refusal_says_what_was_spent_and_what_helps():
    budget = Budget(max_tokens=20, max_cost=5.0, prompt_price=1e5)
    budget.spend(Usage(10, 5))
    with pytest.raises(
        BudgetError, match=r"15 of 20 tokens and 1 of 5 in cost in 1 calls"
    ) as found:
        budget.reserve()
    assert "higher ceiling" in found.value.hint
    assert budget.reached


def test_after_the_first_refusal_all_are_refused():
    budget = Budget(max_tokens=100)
    budget.spend(Usage(90, 0))
    with pytest.raises(BudgetError):
        budget.reserve()
    budget.max_tokens = 10_000
    with pytest.raises(BudgetError):
        budget.reserve()


def test_a_failed_call_releases_its_claim():
    async def main():
        server = Server()
        server.fault = 400
        model = Model(name="m", transport=server, sampling={"max_tokens": 80})
        budget = Budget(max_tokens=100)
        for _ in range(5):
            with pytest.raises(Exception, match="HTTP 400"):
                await model.session("", budget).chat(HELLO)
        server.fault = None
        await model.session("", budget).chat(HELLO)
        return budget.tokens

    assert simulate(main) == 15


def test_a_cancelled_call_releases_its_claim_and_who_waits_goes_on():
    async def main():
        model = Model(name="m", transport=Server(), sampling={"max_tokens": 80})
        session = model.session("", Budget(max_tokens=100))
        first = asyncio.create_task(session.chat(HELLO))
        second = asyncio.create_task(session.chat(HELLO))
        third = asyncio.create_task(session.chat(HELLO))
        await asyncio.sleep(0.1)
        second.cancel()
        first.cancel()
        await third
        return session.budget.tokens

    assert simulate(main) == 15


@pytest.mark.parametrize("option", ["max_tokens", "max_cost", "prompt_price", "completion_price"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_numbers_that_make_no_sense_are_refused(option, value):
    with pytest.raises(ConfigError, match=option):
        Budget(**{option: value})


def test_without_ceilings_it_only_counts():
    budget = Budget(prompt_price=1.0, completion_price=2.0)
    claim = budget.reserve(10)
    budget.spend(Usage(1_000_000, 500_000))
    budget.release(claim)
    assert (budget.tokens, budget.cost, budget.reached) == (1_500_000, 2.0, False)

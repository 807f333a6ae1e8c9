"""Ceilings of a whole run: it stops there, with everything recorded, and goes on with more."""

import asyncio

import pytest

from athlos import Budget, Environment, Task, collect, read_failures, read_rollouts, reward
from athlos.models import Model
from athlos.testing import FakeTransport, completions, fake_model, simulate

SAYS = "x" * 395  # 100 tokens, of the fake model


class Judged(Environment):
    roles = ()

    @classmethod
    def tasks(cls, config, split):
        for index in range(200):
            yield Task("What?", id=f"t{index}")

    @reward
    async def fair(self, rollout):
        if "judge" in self.models:
            await self.models["judge"].chat(rollout.messages)
        return 1.0


def run(out, tokens=None, cost=None, *, price=None, judge=None, concurrency=8):
    async def main():
        transport = FakeTransport(completions(lambda _: SAYS, name="m"), latency=1.0)
        model = Model(name="m", transport=transport, price=price)
        budget = Budget(max_tokens=tokens, max_cost=cost)
        models = {"judge": judge} if judge else {}
        collection = collect(
            Judged, model, out=out, budget=budget, concurrency=concurrency, models=models
        )
        summary = await collection.run()
        return collection, summary, budget

    return simulate(main)


def spent(out):
    records = [*read_rollouts(out), *read_failures(out)]
    own = sum(r.usage.prompt_tokens + r.usage.completion_tokens for r in records)
    return own + sum(
        u.prompt_tokens + u.completion_tokens for r in records for u in r.role_usage.values()
    )


@pytest.mark.parametrize("concurrency", [1, 8, 64])
def test_a_run_stops_at_its_ceiling_and_goes_on_with_a_higher_one(tmp_path, concurrency):
    out = tmp_path / "run"
    for ceiling in (5_000, 5_000, 9_000, 13_000):
        collection, summary, budget = run(out, ceiling, concurrency=concurrency)
        account = summary.accounting
        assert account.offered == 200 == account.scored + account.cancelled + account.owed
        assert "budget is spent" in collection.ceiling
        assert not collection.stopped
        assert ceiling - 110 <= spent(out) <= ceiling
        assert budget.tokens == spent(out)
    _, summary, _ = run(out)
    assert summary.accounting.scored == 200
    assert {f.failure_class for f in read_failures(out)} <= {"refused"}


def test_a_ceiling_of_cost_counts_prompt_and_completion_by_their_prices(tmp_path):
    out = tmp_path / "run"
    _, summary, budget = run(out, cost=0.01, price=(1.0, 10.0))
    assert 0.0088 < budget.cost <= 0.01
    assert summary.accounting.scored == pytest.approx(10, abs=1)


def test_judges_count_towards_the_ceiling_and_are_on_the_record(tmp_path):
    out = tmp_path / "run"
    judge = fake_model(lambda _: SAYS, name="judge")
    _, summary, budget = run(out, 10_000, judge=judge)
    assert 9_500 <= spent(out) == budget.tokens <= 10_100
    rollout = next(iter(read_rollouts(out)))
    assert rollout.role_usage["judge"].completion_tokens == 99
    assert asyncio.iscoroutinefunction(judge.connect)
    before = summary.accounting.scored
    _, summary, budget = run(out, 10_000, judge=fake_model(lambda _: SAYS, name="judge"))
    assert summary.accounting.scored <= before + 1

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from athlos.engine.recorder import AT_RISK, Recorder
from athlos.errors import ConfigError
from athlos.testing import simulate
from athlos.types import Rollout


class FakeFolder:
    """Remembers what was written and what was synced; a sync takes a while."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.written: list[int] = []
        self.batches: list[int] = []
        self.synced = 0
        self.fails_at = fails_at

    def add(self, batch):
        if self.fails_at is not None and len(self.batches) >= self.fails_at:
            raise ConfigError("the disk is full")
        self.batches.append(len(batch))
        self.written += [outcome.sample for _, outcome, _ in batch]

    def sync(self):
        self.synced = len(self.written)


def rollout(sample):
    return Rollout(id=f"t.{sample}.0", task_id="t", sample=sample, environment="e", model="m")


def record(bursts, *, durable=False, fails_at=None):
    """Keeps bursts of outcomes; returns the folder, what came out, and what the disk had then."""
    folder = FakeFolder(fails_at)
    out: list[tuple[int, int, int]] = []
    errors: list[ConfigError] = []

    async def main():
        recorder = Recorder(
            folder,
            lambda _, r: out.append((r.sample, len(folder.written), folder.synced)),
            errors.append,
            durable=durable,
        )
        sample = 0
        for size, pause in bursts:
            for _ in range(size):
                recorder.keep(0, rollout(sample))
                sample += 1
            await asyncio.sleep(pause)
        await recorder.close()

    simulate(main)
    return folder, out, errors


bursts = st.lists(st.tuples(st.integers(0, 400), st.sampled_from([0, 0.001, 0.5, 2])), max_size=12)


@settings(deadline=None, max_examples=60)
@given(bursts, st.booleans())
def test_everything_comes_out_once_in_order_and_never_more_than_the_bound_is_at_risk(
    given, durable
):
    folder, out, _ = record(given, durable=durable)
    samples = [sample for sample, _, _ in out]
    assert samples == list(range(sum(size for size, _ in given))) == folder.written
    assert folder.synced == len(folder.written)
    for count, (_, written, synced) in enumerate(out, 1):
        assert count <= written
        assert count - synced <= (0 if durable else AT_RISK)


def test_outcomes_of_a_few_milliseconds_are_written_together():
    folder, _, _ = record([(10, 0), (5, 0.5), (2, 0.001), (3, 0)])
    assert folder.batches == [15, 5]


def test_what_is_written_is_on_the_disk_a_second_later():
    folder = FakeFolder()

    async def main():
        recorder = Recorder(folder, lambda *_: None, lambda _: None)
        recorder.keep(0, rollout(0))
        await asyncio.sleep(0.9)
        assert folder.synced == 0
        await asyncio.sleep(0.2)
        assert folder.synced == 1
        await recorder.close()

    simulate(main)


def test_nothing_that_could_not_be_written_comes_out():
    folder, out, errors = record([(3, 0.1), (4, 0.1), (5, 0.1)], fails_at=1)
    assert [sample for sample, _, _ in out] == [0, 1, 2] == folder.written
    assert [error.message for error in errors] == ["the disk is full"]


@pytest.mark.parametrize("durable", [False, True])
def test_what_follows_an_outcome_comes_after_it(durable):
    seen: list[object] = []

    async def main():
        recorder = Recorder(
            FakeFolder(), lambda _, r: seen.append(r.sample), lambda _: None, durable=durable
        )
        recorder.keep(0, rollout(0))
        recorder.then(lambda: seen.append("group"))
        recorder.keep(0, rollout(1))
        await recorder.close()

    simulate(main)
    assert seen == [0, "group", 1]


def test_without_a_folder_outcomes_come_out_at_once():
    seen: list[int] = []
    Recorder(None, lambda _, r: seen.append(r.sample), lambda _: None).keep(0, rollout(7))
    assert seen == [7]


def test_a_group_that_could_not_be_written_does_not_come_out():
    seen: list[object] = []

    async def main():
        recorder = Recorder(
            FakeFolder(fails_at=1), lambda _, r: seen.append(r.sample), lambda _: None
        )
        recorder.keep(0, rollout(0))
        recorder.then(lambda: seen.append("first"))
        recorder.keep(0, rollout(1))
        recorder.then(lambda: seen.append("second"))
        await recorder.close()

    simulate(main)
    assert seen == [0, "first"]

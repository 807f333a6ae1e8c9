"""The counts of a run, those of earlier parts included, which are added while it already goes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from athlos.metrics.summary import Tally
from athlos.runs.index import Entry, FailureEntry
from athlos.types import Failure, Rollout

__all__ = ["Ledger"]

_SLICE = 200  # records that are counted between two turns of the event loop


class Ledger:
    """Counts every outcome once, when it is handed out.

    Attributes:
        tally: Everything that a summary is made of.
        rollouts: Those of this part of the run.
        firsts: Outcomes of first attempts in this part of the run.
        failures: Failed attempts of this part of the run, cancelled ones included.
        tokens: Sampled tokens of this part of the run.
    """

    def __init__(self) -> None:
        self.tally = Tally()
        self.failures: list[Failure] = []
        self.tokens = 0
        self._failed: dict[tuple[int, int], None] = {}
        self.rollouts = self.firsts = 0

    @property
    def ended(self) -> int:
        """Samples of this part of the run with a rollout, or a failure as their last record."""
        return self.rollouts + len(self._failed)

    def add(self, number: int, outcome: Rollout | Failure) -> None:
        """Counts an outcome of an attempt at a task."""
        self.tokens += outcome.usage.completion_tokens
        self.firsts += not outcome.attempt
        if isinstance(outcome, Rollout):
            self.rollouts += 1
            if self._failed:
                self._failed.pop((number, outcome.sample), None)
            self.tally.add(number, outcome)
            return
        self.failures.append(outcome)
        self._failed[number, outcome.sample] = None
        self.tally.add_failure(number, outcome)

    async def catch_up(self, entries: Iterable[Entry]) -> None:
        """Counts what earlier parts of the run did, a slice at a time."""
        for count, entry in enumerate(entries, 1):
            if isinstance(entry, FailureEntry):
                self.tally.add_failure(entry.task, entry)
            else:
                self.tally.add(entry.task, entry)
            if count % _SLICE == 0:
                await asyncio.sleep(0)

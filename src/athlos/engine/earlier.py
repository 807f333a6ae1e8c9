"""What earlier parts of a run left, as the next part needs it. Mostly the index is enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from athlos.engine.order import Order
from athlos.models.budget import Budget
from athlos.models.client import Model
from athlos.runs.folder import RunFolder
from athlos.runs.index import Entry, RolloutEntry
from athlos.runs.read import read_rollouts
from athlos.types import Rollout, Task, Usage

__all__ = ["charge", "partial_groups", "retell"]

_UNKNOWN = (None, None)


def charge(
    budget: Budget, entries: Iterator[Entry], model: Model, models: Mapping[str, Model]
) -> None:
    """Counts what was spent: a ceiling is one for the whole run."""
    price = model.price or _UNKNOWN
    prices = {role: judge.price or _UNKNOWN for role, judge in models.items()}
    for entry in entries:
        usage = Usage(entry.usage.prompt_tokens, entry.usage.completion_tokens)
        budget.spend(usage, *price, calls=len(entry.calls))
        for role, usage in entry.role_usage.items():
            budget.spend(usage, *prices.get(role, _UNKNOWN))


def retell(entries: Iterator[Entry], order: Order, pass_threshold: float) -> Iterator[Entry]:
    """Tells the order of the tasks which rollouts passed, and passes the entries on."""
    for entry in entries:
        if isinstance(entry, RolloutEntry):
            order.told(entry.task, int(entry.reward >= pass_threshold), 1)
        yield entry


def partial_groups(
    folder: RunFolder, tasks: Sequence[Task], samples: int, width: int
) -> Iterator[Rollout]:
    """Yields the rollouts of groups that are not complete; only then are records read.

    Args:
        folder: The run.
        tasks: All of its tasks.
        samples: Rollouts that make a group.
        width: Attempts that are begun for it.
    """
    have = Counter(
        (entry.task, entry.sample // width)
        for entry in folder.entries()
        if isinstance(entry, RolloutEntry)
    )
    partial = {
        (tasks[number].id, group)
        for (number, group), count in have.items()
        if count < samples and number < len(tasks)
    }
    for rollout in read_rollouts(folder.path) if partial else ():
        if (rollout.task_id, rollout.sample // width) in partial:
            yield rollout

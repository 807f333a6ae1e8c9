"""What must hold after a collection, checked against the books of the world and nothing else."""

import math
from collections import Counter, defaultdict

import msgspec

WEIGHTS = {"value": 1.0, "bonus": 0.5, "relative": 2.0}


def check(world, summary, rollouts, failures, *, disturbed="", concurrency=None):
    """Compares what a collection says with what happened.

    Args:
        world: Whose books to use.
        summary: The collection's, or its run folder's.
        rollouts: All of them, those of earlier parts of the run included.
        failures: The same.
        disturbed: How the run was ended early (`stop`, `drop`), if it was, or else.
        concurrency: The limit that was set.
    """
    check_attempts(world, concurrency)
    fates = check_accounting(world, summary, rollouts, failures)
    if disturbed not in ("stop", "drop"):
        disturbed = ""
        assert fates["owed"] == fates["cancelled"] == 0, fates
    if disturbed != "drop":
        assert fates["cancelled"] == 0, fates
    check_nothing_lost(world, rollouts, failures, disturbed)
    check_rewards(world, rollouts)
    check_means(summary, rollouts, failures)
    if world.groups:
        check_baselines(world, rollouts, disturbed)


def check_attempts(world, concurrency):
    """Everything made was taken down once, and there was never too much at once."""
    for notes in world.notes.values():
        for note in notes:
            made = note.place != "init"
            assert note.torn == made, f"{note} was torn down {note.torn} times"
    assert world.live == 0, f"{world.live} attempts are still under way"
    if concurrency is not None:
        assert world.peak <= concurrency, f"{world.peak} attempts at once, not {concurrency}"


def check_accounting(world, summary, rollouts, failures):
    """Every sample is in exactly one place, and the identity says in which."""
    seen = Counter((r.task_id, r.sample) for r in rollouts)
    twice = [key for key, count in seen.items() if count > 1]
    assert not twice, f"two rollouts of {twice[:5]}"
    assert set(seen) <= set(world.notes), "a rollout of a sample that nobody offered"
    ids = Counter(record.id for record in (*rollouts, *failures))
    assert not [name for name, count in ids.items() if count > 1], "two records of one attempt"

    fates = Counter(scored=0, truncated=0, failed=0, cancelled=0, owed=0)
    last = {(f.task_id, f.sample): f.failure_class for f in failures}
    states = {(r.task_id, r.sample): r.status for r in rollouts}
    for key, notes in world.notes.items():
        if key in states:
            fates["truncated" if states[key] == "truncated" else "scored"] += 1
        elif key in last:
            assert notes, f"{key} failed without an attempt"
            fates["cancelled" if last[key] == "cancelled" else "failed"] += 1
        else:
            fates["owed"] += 1
    account = msgspec.structs.asdict(summary.accounting)
    offered = account.pop("offered")
    assert offered == len(world.notes) == sum(account.values()), account
    assert account == dict(fates), f"accounting says {account}, the records {dict(fates)}"
    return fates


def check_nothing_lost(world, rollouts, failures, disturbed):
    """Each attempt left one record: a rollout if it went well, else a failure."""
    failed = Counter((f.task_id, f.sample) for f in failures)
    have = {(r.task_id, r.sample) for r in rollouts}
    uncompared = {c["task"] for c in world.compared if c["failed"]}
    for key, notes in world.notes.items():
        assert len(notes) == failed[key] + (key in have), (
            f"{key}: {len(notes)} attempts left {failed[key]} failures"
            f"{' and a rollout' if key in have else ''}"
        )
        if world.groups and (disturbed or key[0] in uncompared):
            continue  # rewards that were not compared are no rewards
        for note in notes:
            assert key in have or not note.clean or note.swallowed, (
                f"{key} was scored, and its rollout is lost"
            )


def check_rewards(world, rollouts):
    """A rollout has the rewards that its environment computed, and those only."""
    for rollout in rollouts:
        notes = world.notes[rollout.task_id, rollout.sample]
        own = {name: v for name, v in rollout.rewards.items() if name != "relative"}
        found = [note for note in notes if note.clean and note.rewards == own]
        assert found, f"{rollout.id} has rewards {own} that nobody computed: {notes}"
        total = math.fsum(WEIGHTS[name] * value for name, value in rollout.rewards.items())
        assert math.isclose(rollout.reward, total, abs_tol=1e-12), rollout.id


def check_means(summary, rollouts, failures):
    """Only rewards that were computed enter a mean."""
    assert summary.reward.n == len(rollouts)
    components = defaultdict(list)
    for rollout in rollouts:
        components[""].append(rollout.reward)
        for name, value in rollout.rewards.items():
            components[name].append(value)
    stated = {"": summary.reward, **summary.rewards}
    for name, values in components.items():
        mean = math.fsum(values) / len(values)
        assert math.isclose(stated[name].mean, mean, abs_tol=1e-9), (
            f"the mean of {name or 'the reward'} is {stated[name].mean}, not {mean}"
        )
    kinds = Counter(f.failure_class for f in failures if f.failure_class != "cancelled")
    assert summary.failed_attempts == dict(kinds)


def check_baselines(world, rollouts, disturbed):
    """A group's baseline is made of the attempts that were scored, failed ones left out."""
    valid, sure = defaultdict(set), defaultdict(set)
    for (task, sample), notes in world.notes.items():
        if any(note.clean for note in notes):
            valid[task].add(sample)
        if any(note.clean and not note.swallowed for note in notes):
            sure[task].add(sample)
    by_task = defaultdict(list)
    for entry in world.compared:
        samples = entry["samples"]
        assert len(set(samples)) == len(samples), f"{entry} compares a sample with itself"
        assert set(samples) <= valid[entry["task"]], f"{entry} compares what has no reward"
        assert disturbed or sure[entry["task"]] <= set(samples), f"{entry} leaves samples out"
        if not entry["failed"]:
            by_task[entry["task"]].append(entry)
    values = {(r.task_id, r.sample): r.rewards["value"] for r in rollouts}
    for rollout in rollouts:
        expected = [
            rollout.rewards["value"] - baseline(entry, values)
            for entry in by_task[rollout.task_id]
            if rollout.sample in entry["samples"]
            and all((entry["task"], sample) in values for sample in entry["samples"])
        ]
        found = rollout.rewards.get("relative", math.nan)
        assert any(math.isclose(found, value, abs_tol=1e-9) for value in expected), (
            f"{rollout.id} is {found} above its group's mean, not one of {expected}"
        )


def baseline(entry, values):
    """Mean value of the attempts that were compared."""
    return sum(values[entry["task"], s] for s in entry["samples"]) / len(entry["samples"])

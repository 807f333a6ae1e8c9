"""A run folder with given records, for tests that read one."""

from athlos import Failure, Task
from athlos.runs import RunFolder, RunSpec, encode
from athlos.runs.spec import EnvironmentSpec, ModelSpec


def store(path, *records, samples=2, **changes):
    """Writes a run of the records, in their order; returns its path."""
    spec = RunSpec(
        environment=EnvironmentSpec("e", "e", "1", "abc", {}),
        model=ModelSpec("m", "http://127.0.0.1:1/v1"),
        agent={"name": "tool_loop"},
        split="test",
        samples=samples,
        limit=None,
        seed=None,
        **changes,
    )
    names = sorted({record.task_id for record in records})
    folder = RunFolder(path, spec)
    folder.add_tasks([Task("?", id=name) for name in names])
    folder.settle_tasks(len(names))
    folder.add([(names.index(record.task_id), record, encode(record)) for record in records])
    folder.close()
    return path


def failed(task, sample, attempt=0, failure_class="timeout"):
    """A failed attempt."""
    return Failure(f"{task}.{sample}.{attempt}", task, sample, attempt, failure_class, "late")

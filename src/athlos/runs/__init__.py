"""The run folder: what a collection leaves on disk, and how it is taken up again."""

from athlos.runs.folder import RunFolder
from athlos.runs.index import Entry, FailureEntry, RolloutEntry
from athlos.runs.progress import Pairs, Progress
from athlos.runs.read import read_failures, read_rollouts
from athlos.runs.record import encode
from athlos.runs.spec import RunSpec
from athlos.runs.tasks import TaskStore

__all__ = [
    "Entry",
    "FailureEntry",
    "Pairs",
    "Progress",
    "RolloutEntry",
    "RunFolder",
    "RunSpec",
    "TaskStore",
    "encode",
    "read_failures",
    "read_rollouts",
]

"""The run folder: what a collection leaves on disk, and how it is taken up again."""

from athlos.runs.folder import RunFolder
from athlos.runs.read import read_failures, read_rollouts
from athlos.runs.spec import RunSpec

__all__ = ["RunFolder", "RunSpec", "read_failures", "read_rollouts"]

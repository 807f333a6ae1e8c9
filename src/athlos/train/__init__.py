"""From runs into trainers: a stream of batches, and one adapter per framework.

An adapter is a module of its own (`athlos.train.trl`), which imports its framework when it is used.
"""

from athlos.engine import Feed
from athlos.train.projection import Batch, Projection, TrainingGroup, TrainingRollout
from athlos.train.stream import Stream, StreamError
from athlos.train.sync import SyncStream

__all__ = [
    "Batch",
    "Feed",
    "Projection",
    "Stream",
    "StreamError",
    "SyncStream",
    "TrainingGroup",
    "TrainingRollout",
]

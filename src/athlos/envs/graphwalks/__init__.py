"""Walks over a long list of edges: who is reached at a depth, or who leads to a node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from athlos import Config as BaseConfig
from athlos import ConfigError, Rollout, Task, reward
from athlos.envs.haystack import check_length
from athlos.envs.levels import seeds_and_levels
from athlos.envs.node_lists import NodeLists
from athlos.envs.seeds import draw
from athlos.envs.texts import all_text
from athlos.scoring.node_lists import read_node_list, set_f1

_LEVELS = (1, 2, 3, 4)
_LINE = len("0123abcd -> 4567cdef\n")
_ASK = (
    "Above is a directed graph, one edge a line. {question}\n\nList every such node once, in any "
    "order. End with one line that has the form Final Answer: followed by the nodes in square "
    "brackets, separated by commas; the brackets stay empty if there is no such node."
)


class Graphwalks(NodeLists):
    """Follow the edges of a long graph."""

    required_info = ("expected_answer",)
    version = "1"

    class Config(BaseConfig):
        """Settings.

        Attributes:
            size: Number of generated graphs.
            level: 1 the nodes that lead to one; 2 to 4 those first reached after 1 to 3 edges; 0
                takes them in turn.
            length: About how many tokens a prompt has.
        """

        size: int = 200
        level: int = 0
        length: int = 2000

    @classmethod
    def tasks(cls, config: Config, split: str) -> Iterator[Task]:
        """Generated graphs; `train` and `test` have different seeds."""
        characters = check_length(config.length)
        for seed, level in seeds_and_levels(split, config.size, config.level, _LEVELS):
            made = _walk(seed, level, characters)
            yield Task(
                prompt=made.prompt,
                info={
                    "expected_answer": json.dumps(made.nodes),
                    "problem_type": "parents" if level == 1 else "bfs",
                    "prompt_chars": len(made.prompt),
                    "level": level,
                },
                id=f"level-{level}-{config.length}-{seed}",
            )

    @reward
    def correct(self, rollout: Rollout) -> float:
        """F1 of the nodes on the last line and those expected."""
        found = read_node_list(all_text(rollout))
        rollout.extra |= {"predicted_nodes": found or [], "parse_failed": found is None}
        return set_f1(found, self.expected())


class _Walk(NamedTuple):
    prompt: str
    nodes: list[str]


def _walk(seed: int, level: int, characters: int) -> _Walk:
    label = f"graphwalks {level} {characters}"
    return draw(label, seed, lambda rng: _drawn(rng, level, characters), lambda made: made.prompt)


def _drawn(rng: Random, level: int, characters: int) -> _Walk:
    count = (characters - len(_ASK) - 100) // _LINE
    if count < 8:
        raise ConfigError("length is too short for a graph", hint="--env.length 500 or more.")
    while True:
        names = [f"{rng.getrandbits(32):08x}" for _ in range(max(count // 2, 6))]
        edges = list(dict.fromkeys(tuple(rng.sample(names, 2)) for _ in range(count)))
        target = rng.choice(edges)[1] if level == 1 else rng.choice(edges)[0]
        if level == 1:
            nodes = sorted({start for start, end in edges if end == target})
            question = f"Which nodes have an edge that leads to {target}?"
        else:
            nodes = sorted(_at_depth(edges, target, level - 1))
            question = (
                f"Walk along the edges from {target}, breadth first. Which nodes are reached after "
                f"{level - 1} edge{'s' if level > 2 else ''}, and not after fewer?"
            )
        if 1 <= len(nodes) <= 40:
            break
    listed = "\n".join(f"{start} -> {end}" for start, end in edges)
    return _Walk(f"{listed}\n\n{_ASK.format(question=question)}", nodes)


def _at_depth(edges: list[tuple[str, ...]], start: str, depth: int) -> set[str]:
    after: dict[str, list[str]] = {}
    for one, other in edges:
        after.setdefault(one, []).append(other)
    seen, front = {start}, {start}
    for _ in range(depth):
        front = {node for one in front for node in after.get(one, ())} - seen
        seen |= front
    return front

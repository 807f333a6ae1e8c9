"""A few sentences in a long text, to be found without copying the text into the reasoning."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Literal, NamedTuple

from athlos import Config as BaseConfig
from athlos import Rollout, Task, reward
from athlos.envs.haystack import check_length, hide
from athlos.envs.levels import seeds_and_levels
from athlos.envs.node_lists import NodeLists
from athlos.envs.said import said
from athlos.envs.seeds import draw
from athlos.envs.texts import all_text
from athlos.scoring.node_lists import read_node_list, set_f1
from athlos.scoring.normalize import fold
from athlos.scoring.overlap import longest_common_share, ngram_share, sequence_ratio

_LEVELS = (1, 2, 3)
_COUNTS = {1: (1, 4), 2: (3, 12), 3: (6, 40)}  # needles of the question, and others
_ASK = (
    "\n\nSomewhere above it is said which depot delivers to which. To which depots does depot "
    "{depot} deliver? Think in words of your own: do not copy the text. End with one line that has "
    "the form Final Answer: followed by the depots in square brackets, separated by commas."
)


class LcNiah(NodeLists):
    """Find what a long text says of one thing."""

    required_info = ("expected_answer",)
    version = "1"

    class Config(BaseConfig):
        """Settings.

        Attributes:
            size: Number of generated texts.
            level: 1 to 3: more to find, more that is like it; 0 takes them in turn.
            length: About how many tokens a prompt has.
            overlap_metric_rule: How copying is measured: by the longest passage in common (`lcs`),
                difflib's ratio (`seq_match`), or the share of runs of 16 words (`ngram16`).
            overlap_grading_rule: The score times (1 - overlap), minus the overlap, or as it is.
        """

        size: int = 200
        level: int = 0
        length: int = 2000
        overlap_metric_rule: Literal["lcs", "seq_match", "ngram16"] = "lcs"
        overlap_grading_rule: Literal["multiply", "minus", "base"] = "multiply"

    @classmethod
    def tasks(cls, config: Config, split: str) -> Iterator[Task]:
        """Generated texts; `train` and `test` have different seeds."""
        characters = check_length(config.length)
        for seed, level in seeds_and_levels(split, config.size, config.level, _LEVELS):
            made = _text(seed, level, characters)
            yield Task(
                prompt=made.prompt,
                info={"expected_answer": json.dumps(made.depots), "level": level},
                id=f"level-{level}-{config.length}-{seed}",
            )

    @reward(process=True, timeout=60, on_timeout=0.0, memory=4096)
    def correct(self, rollout: Rollout) -> float:
        """F1 of the answer, less what the reasoning copied."""
        nodes = read_node_list(all_text(rollout), drop_quotes=True)
        score = set_f1(nodes, self.expected())
        rule = self.config.overlap_grading_rule
        overlap = self._overlap(rollout) if score or rule == "minus" else 0.0
        rollout.extra |= {"answer_score": score, "reasoning_overlap": overlap}
        if rule == "base":
            return score
        return score * (1 - overlap) if rule == "multiply" else score - overlap

    def _overlap(self, rollout: Rollout) -> float:
        if self.config.overlap_grading_rule == "base":
            return 0.0
        reasoning = "".join(message.reasoning_content or "" for message in said(rollout))
        source = "\n".join(message.text for message in self.task.messages())
        rule = self.config.overlap_metric_rule
        if rule == "lcs":
            return longest_common_share(reasoning, source)
        if rule == "ngram16":
            return ngram_share(reasoning, source)
        return sequence_ratio(fold(reasoning), fold(source)) if reasoning.strip() else 0.0


class _Text(NamedTuple):
    prompt: str
    depots: list[str]


def _text(seed: int, level: int, characters: int) -> _Text:
    label = f"lc niah {level} {characters}"
    return draw(label, seed, lambda rng: _drawn(rng, level, characters), lambda made: made.prompt)


def _drawn(rng: Random, level: int, characters: int) -> _Text:
    wanted, others = _COUNTS[level]
    numbers = rng.sample(range(1000, 10_000), 1 + wanted + 2 * others)
    depots = [f"N{number}" for number in numbers]
    depot, goals, rest = depots[0], depots[1 : 1 + wanted], depots[1 + wanted :]
    needles = [f"Depot {depot} delivers to depot {goal}." for goal in goals]
    for start, end in zip(rest[::2], rest[1::2], strict=True):
        needles.append(f"Depot {start} delivers to depot {end}.")
    if level > 1:  # the other direction is no answer
        needles.append(f"Depot {rest[0]} delivers to depot {depot}.")
    rng.shuffle(needles)
    ask = _ASK.format(depot=depot)
    return _Text(hide(rng, needles, characters - len(ask)) + ask, sorted(goals))

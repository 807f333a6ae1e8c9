"""Right answers: what the oracle does, or which field of the tasks the verifier accepts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from msgspec import Struct, field

from athlos.environment import Environment
from athlos.quality.answers import (
    FIELDS,
    FURTHER_WRAPS,
    PLAIN,
    WRAPS,
    candidates,
    shown_forms,
    structure,
)
from athlos.quality.attacks import SENTENCE
from athlos.quality.play import Played, Player, oracle_script, turns_script
from athlos.quality.report import Finding
from athlos.quality.taskset import text_of
from athlos.types import Message, Task

__all__ = ["ORACLE_TURNS", "Gold", "Golds", "find_golds"]

ORACLE_TURNS = 200
_TRIED = 3
_SHORT = 80
_REPLACED = 3  # letters from which on an answer that is said twice is replaced in both places
_BARE = re.compile(r"\b(?:only|nothing (?:else|but|more))\b", re.IGNORECASE)


class Gold(Struct):
    """The right answer to one task.

    Attributes:
        played: The attempt that gave it; None if nothing was found.
        core: The bare answer; "" if there is none, as where a state is to be reached.
        wraps: How it is written down, those first that the verifier reads.
        known: Whether the verifier's data hold the answer, which the model must not see.
    """

    played: Played | None = None
    core: str = ""
    wraps: list[str] = field(default_factory=lambda: [PLAIN])
    known: bool = False

    @property
    def bare(self) -> bool:
        """Whether the core is nothing but the answer, without the form that it is given in."""
        return (self.known or self.wraps != [PLAIN]) and not self.prose

    @property
    def prose(self) -> bool:
        """Whether the answer is a sentence: another one may be as right."""
        return len(self.core.split()) > SENTENCE

    @property
    def transcript(self) -> list[Message]:
        """The assistant messages that solve the task."""
        return [] if self.played is None else self.played.said

    @property
    def short(self) -> bool:
        """Whether the answer is a word or a number, and not a text."""
        return bool(self.core) and len(self.core) <= _SHORT and "\n" not in self.core


class Golds(Struct):
    """The right answers to all tasks.

    Attributes:
        source: `oracle`, the field of `Task.info`, or "" if there are none.
        tried: Right answers that were given.
        missed: Those that did not earn the full reward.
    """

    source: str
    each: list[Gold]
    tried: int
    missed: int
    findings: list[Finding]


async def find_golds(player: Player, tasks: Sequence[Task], full: float) -> Golds:
    """Gives the right answer to every task.

    Args:
        player: Plays them.
        tasks: The tasks.
        full: The reward that is due.
    """
    if player.env.oracle is not Environment.oracle:
        return await _by_oracle(player, tasks, full)
    return await _by_field(player, tasks, full)


async def _by_oracle(player: Player, tasks: Sequence[Task], full: float) -> Golds:
    golds = Golds("oracle", [], 0, 0, [])
    for task in tasks:
        played = await player.play(task, oracle_script, ORACLE_TURNS)
        if played.rollout is None and played.failure is None:
            golds.each.append(Gold())
            continue
        golds.tried += 1
        said = played.said[-1].text if played.said else ""
        if played.reward is None or played.reward < full - 1e-9:
            golds.missed += 1
            golds.findings.append(_missed(task, played, said, full))
            golds.each.append(Gold())
            continue
        found = _core(task.info, said)
        if found is not None:
            core, wrap = found
            # where tools have to be called, the task may well say what is to be reached
            known = not any(message.tool_calls for message in played.said)
            golds.each.append(Gold(played, core, [wrap], known))
        elif not any(m.tool_calls for m in played.said) and len(played.said) == 1:
            golds.each.append(Gold(played, said))
        else:
            golds.each.append(Gold(played))
    if not golds.tried:
        golds.findings.append(_unknown("its oracle() knows none of these tasks"))
    return golds


def _core(info: dict[str, Any], said: str) -> tuple[str, str] | None:
    """The part of an answer that stands in `info`, and what is around it."""
    for name, text in candidates(info):
        core = text.strip()
        if not core or (name not in FIELDS and len(core) < 3):
            continue
        places = _places(core, said)
        if not places:
            continue
        if span := _all_of(info[name], said):
            start, end = span
            return said[start:end], f"{said[:start]}{PLAIN}{said[end:]}"
        if len(core) >= _REPLACED:
            return core, re.sub(_alone(core), PLAIN, said)
        before, _, after = said.rpartition(core)
        return core, f"{before}{PLAIN}{after}"
    return None


def _alone(text: str) -> str:
    return rf"(?<!\w){re.escape(text)}(?!\w)"


def _places(text: str, said: str) -> list[tuple[int, int]]:
    return [found.span() for found in re.finditer(_alone(text), said)]


def _all_of(value: Any, said: str) -> tuple[int, int] | None:
    """From where to where an answer goes that names several parts of a list; None if it is none."""
    if not isinstance(value, list) or not all(isinstance(v, str | int | float) for v in value):
        return None
    found = [places for each in value if str(each).strip() and (places := _places(str(each), said))]
    if len(found) < 2:
        return None
    spans = [span for places in found for span in places]
    return min(start for start, _ in spans), max(end for _, end in spans)


async def _by_field(player: Player, tasks: Sequence[Task], full: float) -> Golds:
    found = await _readable(player, tasks[:_TRIED], full)
    usual = ""
    if not player.env.tools:  # else it may be a state, and not an answer
        usual = next((n for n in FIELDS if all(_is_plain(t.info.get(n)) for t in tasks)), "")
    if not found:
        golds = Golds("", [Gold() for _ in tasks], 0, 0, [])
        if not usual or player.stopped:
            golds.findings.append(_unknown("no field of Task.info is one"))
            return golds
        if not all(_asks_for_bare(task) for task in tasks):
            golds.findings.append(
                _unknown(f"info[{usual!r}] earned less than {full:g} in each form that was tried")
            )
            return golds
        found = {usual: [PLAIN]}
    field = next(iter(found))
    golds = Golds(field, [], 0, 0, [])
    for task in tasks:
        gold = Gold()
        texts = [text for name, text in candidates(task.info) if name == field]
        played: Played | None = None
        for wrap in dict.fromkeys([*found[field], *WRAPS, *FURTHER_WRAPS]):
            for text in texts:
                played = await player.play(task, turns_script([wrap.replace(PLAIN, text)]), 2)
                if played.reward is not None and played.reward >= full - 1e-9:
                    gold = Gold(played, text, list(found[field]), known=True)
                    break
            if gold.played is not None:
                break
        golds.each.append(gold)
        if player.stopped:
            continue
        if texts:
            golds.tried += 1
        if texts and gold.played is None and played is not None:
            golds.missed += 1
            golds.findings.append(_missed(task, played, texts[0], full))
    return golds


async def _readable(player: Player, tasks: Sequence[Task], full: float) -> dict[str, list[str]]:
    """Fields that the verifier accepts as answers, each with the wraps that it reads."""
    shown = shown_forms(_prompt(tasks[0]))
    found = await _read_in(player, tasks, full, tuple(dict.fromkeys([*WRAPS, *shown])))
    return found or await _read_in(player, tasks, full, FURTHER_WRAPS)


async def _read_in(
    player: Player, tasks: Sequence[Task], full: float, forms: Sequence[str]
) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    accepted: dict[str, set[str]] = {}
    for task in tasks:
        for name, text in candidates(task.info):
            for wrap in forms:
                again = wrap in found.get(name, ()) and task.id in accepted[name]
                if again or not text.strip():
                    continue
                played = await player.play(task, turns_script([wrap.replace(PLAIN, text)]), 2)
                if played.reward is not None and played.reward >= full - 1e-9:
                    accepted.setdefault(name, set()).add(task.id)
                    wraps = found.setdefault(name, [])
                    if wrap not in wraps:
                        wraps.append(wrap)
    # a field of another name is an answer if it is one every time, and not by chance
    for name in [n for n in found if n not in FIELDS and len(accepted[n]) < len(tasks)]:
        del found[name]
    order = {name: place for place, name in enumerate(FIELDS)}
    return dict(sorted(found.items(), key=lambda item: order.get(item[0], len(order))))


def _prompt(task: Task) -> str:
    return text_of(task.messages())


def _asks_for_bare(task: Task) -> bool:
    """Whether the prompt says that an answer is to be given as it is, so that it must be right."""
    prompt = _prompt(task)
    return _BARE.search(prompt) is not None and not shown_forms(prompt)


def _is_plain(value: Any) -> bool:
    """Whether a field holds an answer that can be given as it is."""
    if isinstance(value, str):
        return bool(value) and structure(value) is None
    return isinstance(value, int | float) and not isinstance(value, bool)


def _missed(task: Task, played: Played, said: str, full: float) -> Finding:
    if played.failure is not None:
        message = f"a right answer ended as {played.failure.failure_class}"
        said = f"{said} ({played.failure.message})"
    else:
        message = f"a right answer did not earn {full:g}"
    return Finding(
        code="gold.not_full", severity="error", message=message, task=task.id, input=said,
        reward=played.reward,
    )  # fmt: skip


def _unknown(why: str) -> Finding:
    return Finding(
        code="gold.unknown", severity="warning",
        message=f"no right answer is known, so none was tried: {why}; define oracle()",
    )  # fmt: skip

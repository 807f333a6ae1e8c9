"""The stub's engine: token ids in, token ids out, one step after another."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from array import array
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any

from athlos.testing.stub.distribution import Distribution, TokenLogprob
from athlos.testing.stub.drift import Drift
from athlos.testing.stub.faults import StubFaults
from athlos.testing.stub.grammar import matching
from athlos.testing.stub.policy import Policy, value_for
from athlos.testing.stub.tokenizer import ChatTokenizer
from athlos.testing.stub.view import Sampling, View, read_chat, read_tools

__all__ = ["Engine", "Prompt", "Sample", "digest"]

Body = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What a request gives the engine.

    Attributes:
        ids: What the model sees.
        messages: Whence they come; None if the request had ids or text.
        tools: What may be called; None if it is to be read from the prompt.
        must_call: Whether a tool has to be called.
        name: The request's id, by which it can be aborted.
    """

    ids: list[int]
    messages: list[Body] | None = None
    tools: list[Body] | None = None
    must_call: bool = False
    name: str = ""


@dataclass
class Sample:
    """One sample, as far as it has come.

    Attributes:
        index: Its place among the samples of the request.
        planned: All ids that it is going to have.
        reason: Why it ends: `stop`, `length`, or `abort`.
        stop: The stop text or token that ended it.
        cut: The text before a stop text; None if none ended it.
        entries: The log-probabilities of each id sampled so far, the id itself first.
        versions: (version, first token) of each version of the weights that sampled some.
        texts: What each planned token adds to the text, with special tokens and without.
    """

    index: int
    planned: list[int]
    reason: str
    stop: str | int | None = None
    cut: str | None = None
    entries: list[list[TokenLogprob]] = field(default_factory=list)
    versions: list[tuple[str, int]] = field(default_factory=list)
    texts: dict[bool, list[str]] = field(default_factory=dict)

    @property
    def ids(self) -> list[int]:
        """What was sampled so far."""
        return self.planned[: len(self.entries)]

    @property
    def done(self) -> bool:
        """Whether all of it was sampled."""
        return len(self.entries) == len(self.planned)

    @property
    def spans(self) -> list[Body] | None:
        """Which version sampled which tokens, as vLLM says it; None if there are none."""
        if not self.versions:
            return None
        ends = [start for _, start in self.versions[1:]] + [len(self.entries)]
        return [
            {"version": version, "start": start, "end": end}
            for (version, start), end in zip(self.versions, ends, strict=True)
        ]


class Engine:
    """Samples what the policy says, and tells how likely that was.

    Args:
        tokenizer: Text to ids and back.
        policy: What the model says.
        distribution: How likely it is.
        drift: What happens to it.
        faults: How slow it is; read at each step.
        seed: Of what the policy draws.
        max_len: Most tokens of a prompt and its sample.

    Attributes:
        version: Of the weights; tokens that another version samples have other log-probabilities.
        paused: Whether samples stand still.
        sampled: How many tokens were sampled up to now.
    """

    def __init__(
        self,
        tokenizer: ChatTokenizer,
        policy: Policy,
        distribution: Distribution,
        drift: Drift,
        faults: StubFaults,
        *,
        seed: int = 0,
        max_len: int = 32768,
    ) -> None:
        self.tokenizer = tokenizer
        self.distribution = distribution
        self.drift = drift
        self.faults = faults
        self.max_len = max_len
        self.version = "default"
        self.paused = False
        self.sampled = 0
        self._policy = policy
        self._seed = seed
        self._resumed = asyncio.Event()
        self._resumed.set()
        self._frozen = False
        self._running: dict[int, tuple[str, Sample]] = {}

    @property
    def running(self) -> int:
        """How many samples are under way."""
        return len(self._running)

    def view(self, prompt: Prompt, sampling: Sampling, index: int = 0) -> View:
        """What the policy sees of one sample of a request."""
        text = self.tokenizer.decode(prompt.ids)
        tools = prompt.tools if prompt.tools is not None else read_tools(text)
        drawn = f"{self._seed}/{sampling.seed}/{index}/{digest(prompt.ids)}"
        return View(
            prompt=text,
            prompt_ids=prompt.ids,
            messages=prompt.messages if prompt.messages is not None else read_chat(text),
            tools=tools,
            must_call=prompt.must_call,
            sampling=sampling,
            index=index,
            rng=random.Random(drawn),
        )

    async def run(
        self, prompt: Prompt, sampling: Sampling, index: int, *, step: int, top: int = 0
    ) -> AsyncGenerator[Sample, None]:
        """Samples, and hands out the sample after each `step` tokens and at the end; 0 is all."""
        while self.paused:
            await self._resumed.wait()
        sample = self._plan(self.view(prompt, sampling, index))
        key = id(sample)
        self._running[key] = (prompt.name, sample)
        try:
            state = self.distribution.state(prompt.ids)
            while True:
                await self._wait(step)
                size = step or (1 if self.faults.token_delay else len(sample.planned))
                state = self._advance(sample, state, size, sampling, top)
                if sample.done:
                    break
                if step:
                    yield sample
            yield sample
        finally:
            del self._running[key]

    async def _wait(self, step: int) -> None:
        if self.faults.token_delay:
            await asyncio.sleep(self.faults.token_delay * (step or 1))
        elif step:
            await asyncio.sleep(0)  # samples take turns
        while self._frozen:
            await self._resumed.wait()

    def _advance(self, sample: Sample, state: int, size: int, sampling: Sampling, top: int) -> int:
        done = len(sample.entries)
        if sample.reason == "abort":
            return state
        if not sample.versions or sample.versions[-1][0] != self.version:
            sample.versions.append((self.version, done))
        for at in sample.planned[done : done + size]:
            entry = self.distribution.sampled(state, at, sampling.shape, self.version, top)
            sample.entries.append(entry)
            self.sampled += 1
            state = self.distribution.state((at,), state)
        return state

    def pause(self, mode: str) -> None:
        """Begins no more samples; `keep` freezes those under way, `abort` ends them."""
        self.paused = True
        self._resumed.clear()
        self._frozen = mode == "keep"
        if mode == "abort":
            self.abort(None)

    def resume(self) -> None:
        """Goes on."""
        self.paused = self._frozen = False
        self._resumed.set()

    def abort(self, name: str | None) -> int:
        """Ends the samples of a request, or all; returns how many."""
        found = [sample for key, sample in self._running.values() if name in (None, key)]
        for sample in found:
            sample.planned = sample.ids
            sample.reason = "abort"
        return len(found)

    def _plan(self, view: View) -> Sample:
        """All that the sample is going to be, but for its probabilities."""
        sampling, tokenizer = view.sampling, self.tokenizer
        if sampling.choice:
            said: str | list[int] = view.rng.choice(sampling.choice)
        elif sampling.regex is not None:
            said = matching(sampling.regex, view.rng)
        elif sampling.schema is not None:
            said = json.dumps(value_for(sampling.schema, view.rng), ensure_ascii=False)
        else:
            said = self._policy(view)
        if isinstance(said, str):
            ids = self.drift.ids(tokenizer.encode(self.drift.text(said)), view.rng)
        else:
            ids = list(said)
        reason = "stop"
        if sampling.ignore_end:
            ids = self._filled([at for at in ids if at != tokenizer.end_id], view)
        elif self.drift.truncates:
            ids, reason = [at for at in ids if at != tokenizer.end_id], "length"
        elif not ids or ids[-1] != tokenizer.end_id:
            ids.append(tokenizer.end_id)
        room = max(0, min(sampling.max_tokens, self.max_len - len(view.prompt_ids)))
        if len(ids) > room or (sampling.ignore_end and len(ids) == room):
            ids, reason = ids[:room], "length"
        sample = Sample(view.index, ids, reason)
        self._stop(sample, sampling)
        return sample

    def _filled(self, ids: list[int], view: View) -> list[int]:
        """The ids with others behind, as many as the request allows."""
        missing = min(view.sampling.max_tokens, self.max_len - len(view.prompt_ids)) - len(ids)
        words = self.tokenizer.encode(" and so it goes on, number after number, word after word")
        return ids + [view.rng.choice(words) for _ in range(missing)]

    def _stop(self, sample: Sample, sampling: Sampling) -> None:
        """Cuts the sample where a stop token or text ends it."""
        for place, at in enumerate(sample.planned):
            if at in sampling.stop_ids:
                sample.planned = sample.planned[: place + 1]
                sample.reason, sample.stop = "stop", at
                break
        if not sampling.stop:
            return
        text = ""
        for place, piece in enumerate(self.tokenizer.pieces(sample.planned, special=False)):
            text += piece
            found = [(text.index(stop), stop) for stop in sampling.stop if stop and stop in text]
            if found:
                start, stop = min(found)
                sample.planned = sample.planned[: place + 1]
                sample.reason, sample.stop = "stop", stop
                sample.cut = text[: start + len(stop) if sampling.keep_stop else start]
                return


def digest(ids: Sequence[int]) -> str:
    """A short name of ids, the same everywhere."""
    return hashlib.blake2b(array("q", ids).tobytes(), digest_size=8).hexdigest()

"""What the dialects share: requests for samples in, samples and their log-probabilities out."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import msgspec

from athlos.testing.stub.distribution import Shape, TokenLogprob
from athlos.testing.stub.engine import Engine, Prompt, Sample, digest
from athlos.testing.stub.faults import StubFaults
from athlos.testing.stub.http import Events, HttpError, Reply, Request
from athlos.testing.stub.tokenizer import TemplateError
from athlos.testing.stub.view import Sampling

__all__ = ["Ask", "Body", "Dialect", "Route", "Settings", "arguments_as_objects", "number", "usage"]

Body = dict[str, Any]
Route = Callable[[Request], Awaitable[Reply]]

CREATED = 1_790_000_000


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a stub server was started.

    Attributes:
        model: The name under which it serves its model.
        scale_out: Whether vLLM's endpoints for token ids are there.
        generate_style: What vLLM's generate calls a token in its log-probabilities: `token_id`,
            or, as before 0.30, `token` with a string.
        reasoning: Whether reasoning is told apart from content.
        tools: Whether tool calls are.
        step: Tokens in an event of a stream.
    """

    model: str = "tiny"
    scale_out: bool = False
    generate_style: Literal["token_id", "token"] = "token_id"
    reasoning: bool = True
    tools: bool = True
    step: int = 1


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request for samples, understood.

    Attributes:
        name: The id that the reply has.
        prompt: What is given to the engine.
        sampling: How to sample.
        top: How many of the likeliest tokens to tell with each; None tells no log-probabilities.
        prompt_top: The same for the prompt.
        faults: What goes wrong.
        step: Tokens between two looks at the samples; 0 if only the end counts.
    """

    name: str
    prompt: Prompt
    sampling: Sampling
    top: int | None
    prompt_top: int | None
    faults: StubFaults
    step: int


class Dialect:
    """Endpoints of one kind of server; subclasses have them in `routes`.

    Args:
        engine: Samples.
        settings: How the server was started.
    """

    name: ClassVar[str]
    samples_at: ClassVar[frozenset[str]]  # the paths whose requests can be turned away as too many
    structured: ClassVar[bool] = True  # whether it obeys patterns and schemas

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.engine = engine
        self.tokenizer = engine.tokenizer
        self.settings = settings
        self._seen: Counter[str] = Counter()

    def routes(self) -> Mapping[str, Route]:
        """Handlers by `METHOD path`."""
        raise NotImplementedError

    def reply(self, ask: Ask, value: Body) -> Reply:
        """A plain reply, broken off if the faults say so."""
        return Reply(value, cut=ask.faults.disconnect_at)

    def stream(self, ask: Ask, events: Events) -> Reply:
        """A stream of events, broken off if the faults say so."""
        return Reply(events=events, cut=ask.faults.disconnect_at)

    def error(self, status: int, message: str, param: str | None = None) -> HttpError:
        """The error that this kind of server would answer with."""
        kinds = {400: "BadRequestError", 401: "Unauthorized", 404: "NotFoundError"}
        kind = kinds.get(status, "InternalServerError")
        error = {"message": message, "type": kind, "param": param, "code": status}
        return HttpError(status, {"error": error})

    def not_found(self) -> HttpError:
        """The error for a path that is not there."""
        return HttpError(404, {"detail": "Not Found"})

    def body(self, request: Request) -> Body:
        """The request's JSON object.

        Raises:
            HttpError: It is none.
        """
        try:
            value = request.json()
        except ValueError:
            raise self.error(400, "JSON decode error", "body") from None
        if not isinstance(value, dict):
            raise self.error(400, "the body should be a valid dictionary", "body")
        return value

    def prompt_text(self, body: Body) -> str:
        """The messages of a request as the template writes them."""
        messages = body.get("messages")
        if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
            raise self.error(400, "Input should be a valid list", "body.messages")
        values = body.get("chat_template_kwargs") or {}
        try:
            return self.tokenizer.render(
                self.engine.drift.messages([_for_template(message) for message in messages]),
                body.get("tools"),
                generate=body.get("add_generation_prompt", True),
                **values,
            )
        except TemplateError as e:
            raise self.error(400, str(e)) from None

    def render(self, body: Body) -> list[int]:
        """The same in tokens."""
        return self.tokenizer.encode(self.prompt_text(body))

    def chat(self, body: Body, ids: list[int]) -> Prompt:
        """What the engine gets of a chat request whose prompt is `ids`."""
        choice = body.get("tool_choice")
        tools = [] if choice == "none" else list(body.get("tools") or [])
        if isinstance(choice, dict):
            named = (choice.get("function") or {}).get("name")
            tools = [tool for tool in tools if tool.get("function", {}).get("name") == named]
        return Prompt(
            ids=ids,
            messages=body["messages"],
            tools=tools,
            must_call=choice not in (None, "auto", "none"),
        )

    def ask(self, name: str, body: Body, prompt: Prompt, **more: Any) -> Ask:
        """A request with the fields that all servers have in common.

        Args:
            name: The kind of id that the reply has, such as `chatcmpl`.
            body: The request, or its sampling parameters.
            prompt: What the model sees.
            more: Fields of `Ask` or `Sampling` that are known better.
        """
        room = self.engine.max_len - len(prompt.ids)
        stop = body.get("stop") or ()
        fields: Body = {
            "max_tokens": number(body, ("max_completion_tokens", "max_tokens"), room),
            "shape": Shape(
                temperature=number(body, ("temperature",), 1.0),
                top_p=number(body, ("top_p",), 1.0),
                top_k=max(0, number(body, ("top_k",), 0)),
            ),
            "stop": (stop,) if isinstance(stop, str) else tuple(stop),
            "stop_ids": tuple(body.get("stop_token_ids") or ()),
            "keep_stop": bool(body.get("include_stop_str_in_output")),
            "ignore_end": bool(body.get("ignore_eos")),
            "seed": body.get("seed"),
            "n": number(body, ("n",), 1),
            **(_constraint(body) if self.structured else {}),
        }
        asked: Body = {"top": None, "prompt_top": None, "step": 0}
        asked |= {key: value for key, value in more.items() if key in asked}
        fields |= {key: value for key, value in more.items() if key not in asked}
        sampling = Sampling(**fields)
        content = f"{digest(prompt.ids)}{zlib.crc32(json.dumps(body, sort_keys=True).encode()):08x}"
        text = f"{name}-{content}{self._seen[content]:04x}"
        self._seen[content] += 1
        prompt = replace(prompt, name=prompt.name or text)
        faults = self.engine.faults
        if faults.when is not None:
            faults = faults.of(self.engine.view(prompt, sampling))
        return Ask(name=text, prompt=prompt, sampling=sampling, faults=faults, **asked)

    async def samples(self, ask: Ask) -> list[Sample]:
        """All samples of a request, complete."""
        return list(
            await asyncio.gather(*(self._sample(ask, index) for index in range(ask.sampling.n)))
        )

    async def _sample(self, ask: Ask, index: int) -> Sample:
        run = self.engine.run(ask.prompt, ask.sampling, index, step=0, top=ask.top or 0)
        sample: Sample | None = None
        async for sample in run:  # noqa: B007 - the last one is wanted
            pass
        assert sample is not None
        return sample

    async def steps(self, ask: Ask) -> AsyncGenerator[tuple[Sample, int], None]:
        """The samples of a request step by step, in turns: a sample, and how much was known."""
        top = ask.top or 0
        runs = [
            self.engine.run(ask.prompt, ask.sampling, index, step=ask.step, top=top)
            for index in range(ask.sampling.n)
        ]
        known = dict.fromkeys(range(len(runs)), 0)
        try:
            while known:
                for index in list(known):
                    sample = await anext(runs[index], None)
                    if sample is None:
                        del known[index]
                    else:
                        yield sample, known[index]
                        known[index] = len(sample.entries)
        finally:
            for run in runs:
                await run.aclose()

    def entries(self, ask: Ask, sample: Sample, start: int = 0) -> list[list[TokenLogprob]]:
        """The log-probabilities from `start` on, as the faults let them be told."""
        told = sample.entries[start:]
        faults = ask.faults
        if start == 0 and told and (faults.bad_logprob or faults.disagreeing):
            first, *others = told[0]
            wrong = (first.id + 1) % self.tokenizer.size if faults.disagreeing else first.id
            value: Any = first.logprob
            if faults.bad_logprob:
                value = msgspec.Raw(b"NaN") if faults.bad_logprob == "nan" else None
            told = [[TokenLogprob(wrong, value, first.rank), *others], *told[1:]]
        return told[:-1] if faults.short_logprobs and sample.done else told

    def prompt_entries(self, ask: Ask, ids: list[int]) -> list[list[TokenLogprob]]:
        """The log-probabilities of all but the first of `ids`."""
        shift = ask.faults.replay_shift
        told = self.engine.distribution.prompt(ids, self.engine.version, ask.prompt_top or 0)
        if not shift:
            return list(told)
        return [
            [TokenLogprob(entry.id, entry.logprob + shift, entry.rank) for entry in entries]
            for entries in told
        ]

    def text(self, sample: Sample) -> str:
        """The text of a complete sample."""
        if sample.cut is not None:
            return sample.cut
        ids = sample.ids
        ended = sample.reason == "stop" and not isinstance(sample.stop, str)
        return self.tokenizer.decode(ids[:-1] if ended else ids, special=False)

    def token_texts(self, sample: Sample) -> list[str]:
        """What each token of a sample is in text; the last part of a character is all of it."""
        if True not in sample.texts:
            sample.texts[True] = self.tokenizer.pieces(sample.planned)
        return sample.texts[True]

    def pieces(self, sample: Sample) -> list[str]:
        """What each token of a sample adds to its text, also of those that are yet to come."""
        if False not in sample.texts:
            pieces = self.tokenizer.pieces(sample.planned, special=False)
            if sample.cut is not None:
                pieces = _cut(pieces, len(sample.cut))
            elif sample.reason == "stop" and pieces:
                pieces[-1] = ""
            sample.texts[False] = pieces
        return sample.texts[False]


def usage(ask: Ask, samples: list[Sample]) -> dict[str, int]:
    """The three counts that every server has."""
    prompt, sampled = len(ask.prompt.ids), sum(len(sample.entries) for sample in samples)
    return {
        "prompt_tokens": prompt,
        "total_tokens": prompt + sampled,
        "completion_tokens": sampled,
    }


def number(body: Body, names: tuple[str, ...], default: Any) -> Any:
    """The first of these fields that is there and not null."""
    return next((body[name] for name in names if body.get(name) is not None), default)


def arguments_as_objects(message: Body) -> Body:
    """The message with the arguments of its tool calls as objects, for templates."""
    if not message.get("tool_calls"):
        return message
    calls = []
    for call in message["tool_calls"]:
        function = dict(call.get("function") or {})
        if isinstance(function.get("arguments"), str):
            with suppress(ValueError):  # templates write a text as it is
                function["arguments"] = json.loads(function["arguments"] or "{}")
        calls.append({**call, "function": function})
    return {**message, "tool_calls": calls}


def _for_template(message: Body) -> Body:
    content = message.get("content")
    if isinstance(content, list):
        parts = [part.get("text", "") for part in content if isinstance(part, dict)]
        message = {**message, "content": "".join(parts)}
    return arguments_as_objects(message)


def _constraint(body: Body) -> Body:
    """What the fields of vLLM, SGLang, llama.cpp or OpenAI say that samples must be."""
    outputs = body.get("structured_outputs") or {}
    wanted = body.get("response_format") or {}
    schema = outputs.get("json") or body.get("json_schema")
    if wanted.get("type") == "json_schema":
        schema = (wanted.get("json_schema") or {}).get("schema") or {}
    elif wanted.get("type") == "json_object" or outputs.get("json_object"):
        schema = {"type": "object"}
    return {
        "regex": outputs.get("regex") or body.get("regex"),
        "choice": tuple(outputs.get("choice") or ()),
        "schema": json.loads(schema) if isinstance(schema, str) else schema,
    }


def _cut(pieces: list[str], size: int) -> list[str]:
    left, kept = size, []
    for piece in pieces:
        kept.append(piece[:left])
        left -= len(kept[-1])
    return kept

"""Plain chat completions, as every server has them: the frame into which others put their ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from athlos.testing.stub.dialect import CREATED, Ask, Body, Dialect, Route, number, usage
from athlos.testing.stub.engine import Sample
from athlos.testing.stub.http import Events, Reply, Request, event
from athlos.testing.stub.parsing import StreamParser, parse

__all__ = ["OpenAIChat", "Plain"]


class OpenAIChat(Dialect):
    """`/v1/chat/completions` and `/v1/models`; the methods are what dialects change."""

    reasoning_field: ClassVar[str] = "reasoning_content"
    owner: ClassVar[str] = "stub"

    async def models(self, _: Request) -> Reply:
        """The list of models."""
        model = {
            "id": self.settings.model,
            "object": "model",
            "created": CREATED,
            "owned_by": self.owner,
        }
        return Reply({"object": "list", "data": [{**model, **self.model_fields()}]})

    def model_fields(self) -> Body:
        """What else the list says of the model."""
        return {}

    async def chat_completions(self, request: Request) -> Reply:
        """Answers a chat request."""
        body = self.body(request)
        self.check(body)
        ids = self.prompt_ids(body)
        self.fits(ids)
        if body.get("stream"):
            ask = self.ask_chat(body, ids, self.settings.step)
            return self.stream(ask, self.events(ask, body))
        ask = self.ask_chat(body, ids, 0)
        samples = await self.samples(ask)
        reply = {
            "id": ask.name,
            "object": "chat.completion",
            "created": CREATED,
            "model": self.settings.model,
            "choices": [self.choice(ask, body, sample) for sample in samples],
            "usage": usage(ask, samples),
        }
        return self.reply(ask, {**reply, **self.reply_fields(ask, body)})

    def ask_chat(self, body: Body, ids: list[int], step: int) -> Ask:
        """The request, understood."""
        top = (body.get("top_logprobs") or 0) if body.get("logprobs") else None
        room = max(1, self.engine.max_len - len(ids))
        most = min(room, number(body, ("max_completion_tokens", "max_tokens"), room))
        return self.ask("chatcmpl", body, self.chat(body, ids), top=top, step=step, max_tokens=most)

    def check(self, body: Body) -> None:
        """Refuses what the server does not take."""

    def fits(self, ids: list[int]) -> None:
        """Refuses a prompt that is too long."""
        most = self.engine.max_len
        if len(ids) >= most:
            raise self.error(
                400, f"This model's maximum context length is {most} tokens, not {len(ids)}."
            )

    def prompt_ids(self, body: Body) -> list[int]:
        """What the model sees."""
        return self.render(body)

    def reply_fields(self, ask: Ask, body: Body) -> Body:
        """What else is at the top of a reply."""
        return {}

    def choice(self, ask: Ask, body: Body, sample: Sample) -> Body:
        """One choice of a reply."""
        tools = self.tools_wanted(body)
        parsed = parse(self.text(sample), reasoning=self.settings.reasoning, tools=tools)
        message: Body = {"role": "assistant", "content": parsed.content}
        if parsed.reasoning is not None:
            message[self.reasoning_field] = parsed.reasoning
        if parsed.calls:
            message["tool_calls"] = [
                {
                    "id": f"call_{ask.name[-12:]}_{sample.index}_{place}",
                    "type": "function",
                    "function": {"name": name, "arguments": arguments},
                }
                for place, (name, arguments) in enumerate(parsed.calls)
            ]
        called = parsed.calls and sample.reason == "stop"
        return {
            "index": sample.index,
            "message": message,
            "logprobs": self.logprobs(ask, sample, 0),
            "finish_reason": "tool_calls" if called else sample.reason,
        }

    def logprobs(self, ask: Ask, sample: Sample, start: int) -> Body | None:
        """The log-probabilities of a choice from `start` on."""
        if ask.top is None:
            return None
        content = []
        for given in self.entries(ask, sample, start):
            told = [
                {
                    **self.token_fields(ask, entry.id),
                    "logprob": entry.logprob,
                    "bytes": list(self.tokenizer.token_text(entry.id).encode()),
                }
                for entry in given
            ]
            content.append({**told[0], "top_logprobs": told[: ask.top]})
        return {"content": content}

    def token_fields(self, ask: Ask, at: int) -> Body:
        """How a token is called in log-probabilities."""
        return {"token": self.tokenizer.token_text(at)}

    def tools_wanted(self, body: Body) -> bool:
        """Whether tool calls are told apart."""
        return self.settings.tools and bool(body.get("tools")) and body.get("tool_choice") != "none"

    async def events(self, ask: Ask, body: Body) -> Events:
        """The events of a streamed reply."""
        head = {
            "id": ask.name,
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": self.settings.model,
        }
        parsers: dict[int, StreamParser] = {}
        pieces: dict[int, list[str]] = {}
        last: dict[int, Sample] = {}
        steps = self.steps(ask)
        try:
            async for sample, known in steps:
                index = sample.index
                delta: Body = {}
                if index not in last:
                    delta = {"role": "assistant", "content": ""}
                    tools = self.tools_wanted(body)
                    parsers[index] = StreamParser(reasoning=self.settings.reasoning, tools=tools)
                    pieces[index] = self.pieces(sample)
                last[index] = sample
                text = "".join(pieces[index][known : len(sample.entries)])
                for part in parsers[index].feed(text, last=sample.done):
                    self.add(delta, part, f"call_{ask.name[-12:]}_{index}")
                reason = None
                if sample.done:
                    called = parsers[index].called and sample.reason == "stop"
                    reason = "tool_calls" if called else sample.reason
                choice = {
                    "index": index,
                    "delta": delta,
                    "logprobs": self.logprobs(ask, sample, known),
                    "finish_reason": reason,
                }
                yield event({**head, "choices": [choice]})
        finally:
            await steps.aclose()
        if (body.get("stream_options") or {}).get("include_usage"):
            yield event({**head, "choices": [], "usage": usage(ask, list(last.values()))})

    def add(self, delta: Body, part: Body, name: str) -> None:
        """Adds what a parser found to the delta of an event; calls are called after `name`."""
        for key in ("content", "reasoning"):
            if key in part:
                field = self.reasoning_field if key == "reasoning" else key
                delta[field] = delta.get(field, "") + part[key]
        if "index" in part:
            place = part["index"]
            call: Body = {"index": place, "function": {"arguments": part.get("arguments", "")}}
            if "name" in part:
                call |= {"id": f"{name}_{place}", "type": "function"}
                call["function"]["name"] = part["name"]
            delta.setdefault("tool_calls", []).append(call)


class Plain(OpenAIChat):
    """A server with nothing but chat completions: no ids, and no log-probabilities."""

    name: ClassVar[str] = "plain"
    samples_at: ClassVar[frozenset[str]] = frozenset({"/v1/chat/completions"})
    structured: ClassVar[bool] = False

    def routes(self) -> Mapping[str, Route]:
        """Two endpoints."""
        return {
            "GET /v1/models": self.models,
            "POST /v1/chat/completions": self.chat_completions,
        }

    def logprobs(self, ask: Ask, sample: Sample, start: int) -> Body | None:
        """None, whatever was asked for."""
        return None

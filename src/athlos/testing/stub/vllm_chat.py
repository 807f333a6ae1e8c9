"""vLLM's chat completions: whole and streamed."""

from __future__ import annotations

from typing import Any

from athlos.testing.stub.dialect import CREATED, Ask, Body, usage
from athlos.testing.stub.engine import Sample
from athlos.testing.stub.http import Events, Reply, Request, event
from athlos.testing.stub.parsing import StreamParser, parse
from athlos.testing.stub.vllm_base import FINGERPRINT, VllmBase

__all__ = ["VllmChat"]


class VllmChat(VllmBase):
    """`/v1/chat/completions`."""

    async def chat_completions(self, request: Request) -> Reply:
        """Answers a chat request."""
        body = self.checked(request)
        ids = self.render(body)
        self.fits(ids, body)
        top = body.get("top_logprobs", 0) if body.get("logprobs") else None  # null is none, too
        ask = self.ask(
            "chatcmpl",
            body,
            self.chat(body, ids),
            top=top,
            prompt_top=body.get("prompt_logprobs"),
            step=self.settings.step if body.get("stream") else 0,
        )
        if body.get("stream"):
            return self.stream(ask, self._events(ask, body))
        samples = await self.samples(ask)
        shown = bool(body.get("return_token_ids")) and not ask.faults.missing_ids
        return self.reply(
            ask,
            {
                "id": ask.name,
                "object": "chat.completion",
                "created": CREATED,
                "model": self.settings.model,
                "choices": [self._choice(ask, body, sample) for sample in samples],
                "service_tier": None,
                "system_fingerprint": FINGERPRINT,
                "usage": self.usage(ask, samples) | self.reasoning_usage(samples),
                "prompt_logprobs": self.prompt_logprobs(ask),
                "prompt_token_ids": ids if shown else None,
                "prompt_text": None,
                "kv_transfer_params": None,
                "ec_transfer_params": None,
                "metrics": None,
            },
        )

    def _choice(self, ask: Ask, body: Body, sample: Sample) -> Body:
        tools = self._tools(body)
        parsed = parse(self.text(sample), reasoning=self.settings.reasoning, tools=tools)
        message: Body = {
            "role": "assistant",
            "content": parsed.content,
            "refusal": None,
            "annotations": None,
            "audio": None,
            "function_call": None,
        }
        if parsed.calls:
            message["tool_calls"] = [
                {
                    "id": _call_id(ask, sample, place),
                    "type": "function",
                    "function": {"name": name, "arguments": arguments},
                }
                for place, (name, arguments) in enumerate(parsed.calls)
            ]
        message["reasoning"] = parsed.reasoning
        shown = bool(body.get("return_token_ids")) and not ask.faults.missing_ids
        return {
            "index": sample.index,
            "message": message,
            "logprobs": self._logprobs(ask, body, sample, 0),
            "finish_reason": "tool_calls" if parsed.calls else sample.reason,
            "stop_reason": sample.stop,
            "token_ids": sample.ids if shown else None,
            "routed_experts": None,
        }

    async def _events(self, ask: Ask, body: Body) -> Events:
        options = body.get("stream_options") or {}
        every = bool(options.get("continuous_usage_stats"))
        shown = bool(body.get("return_token_ids")) and not ask.faults.missing_ids
        head = {
            "id": ask.name,
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": self.settings.model,
        }
        for index in range(ask.sampling.n):
            opening = {
                "index": index,
                "delta": {"role": "assistant", "content": ""},
                "logprobs": None,
                "finish_reason": None,
            }
            ids = ask.prompt.ids if shown else None
            yield event(
                {**head, "choices": [opening], "prompt_token_ids": ids, "prompt_text": None}
            )
        states: dict[int, tuple[StreamParser, list[str]]] = {}
        last: dict[int, Sample] = {}
        steps = self.steps(ask)
        try:
            async for sample, known in steps:
                if sample.index not in states:
                    parser = StreamParser(
                        reasoning=self.settings.reasoning, tools=self._tools(body)
                    )
                    states[sample.index] = parser, self.pieces(sample)
                last[sample.index] = sample
                parser, pieces = states[sample.index]
                text = "".join(pieces[known : len(sample.entries)])
                choice: Body = {
                    "index": sample.index,
                    "delta": _delta(ask, sample, parser, text),
                    "logprobs": self._logprobs(ask, body, sample, known),
                    "finish_reason": None,
                }
                if sample.done:
                    called = parser.called and sample.reason == "stop"
                    choice["finish_reason"] = "tool_calls" if called else sample.reason
                    choice["stop_reason"] = sample.stop
                choice["token_ids"] = sample.ids[known:] if shown else None
                chunk = {**head, "choices": [choice]}
                if every:
                    chunk["usage"] = usage(ask, list(last.values()))
                yield event(chunk)
        finally:
            await steps.aclose()
        if options.get("include_usage"):
            counts = usage(ask, list(last.values())) | self.reasoning_usage(list(last.values()))
            yield event({**head, "choices": [], "usage": counts, "system_fingerprint": FINGERPRINT})

    def _tools(self, body: Body) -> bool:
        return self.settings.tools and bool(body.get("tools")) and body.get("tool_choice") != "none"

    def _logprobs(self, ask: Ask, body: Body, sample: Sample, start: int) -> Body | None:
        if ask.top is None:
            return None
        as_id = bool(body.get("return_tokens_as_token_ids")) and not ask.faults.missing_ids
        entries = self.entries(ask, sample, start)
        return {"content": self.content(sample, start, entries, as_id, ask.top)}


def _delta(ask: Ask, sample: Sample, parser: StreamParser, text: str) -> Body:
    """What one event adds to the message."""
    delta: Body = {}
    for part in parser.feed(text, last=sample.done):
        if "content" in part or "reasoning" in part:
            for key, more in part.items():
                delta[key] = delta.get(key, "") + more
            continue
        delta.setdefault("content", None)
        delta.setdefault("tool_calls", []).append(_call_delta(ask, sample, part))
    return delta


def _call_delta(ask: Ask, sample: Sample, part: dict[str, Any]) -> Body:
    place = part["index"]
    if "name" not in part:
        return {"index": place, "function": {"arguments": part["arguments"]}}
    return {
        "id": _call_id(ask, sample, place),
        "type": "function",
        "index": place,
        "function": {"name": part["name"]},
    }


def _call_id(ask: Ask, sample: Sample, place: int) -> str:
    return f"chatcmpl-tool-{ask.name.partition('-')[2]}-{sample.index}-{place}"

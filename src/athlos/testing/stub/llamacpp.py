"""The dialect of llama.cpp's server: ids within the log-probabilities, and `/completion`.

In a stream the token that ends the turn is counted but not told: the last event has no
log-probabilities and no tokens. A whole reply has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from athlos.testing.stub.dialect import CREATED, Ask, Body, Route, usage
from athlos.testing.stub.engine import Prompt, Sample
from athlos.testing.stub.http import Events, HttpError, Reply, Request, event
from athlos.testing.stub.openai_chat import OpenAIChat
from athlos.testing.stub.parsing import StreamParser

__all__ = ["LlamaCpp"]

_STOPS = {"stop": "eos", "length": "limit", "abort": "none"}
_BUILD = "b0-stub"
_TOP = 20  # candidates that it tells if it is not said how many


class LlamaCpp(OpenAIChat):
    """The stub of llama.cpp's server."""

    name: ClassVar[str] = "llamacpp"
    samples_at: ClassVar[frozenset[str]] = frozenset({"/v1/chat/completions", "/completion"})

    def routes(self) -> Mapping[str, Route]:
        """All endpoints."""
        return {
            "GET /health": self._health,
            "GET /v1/models": self.models,
            "GET /props": self._props,
            "POST /v1/chat/completions": self.chat_completions,
            "POST /completion": self.completion,
            "POST /tokenize": self._tokenize,
            "POST /detokenize": self._detokenize,
            "POST /apply-template": self._apply_template,
        }

    def error(self, status: int, message: str, param: str | None = None) -> HttpError:
        """The error in its shape."""
        kind = "invalid_request_error" if status == 400 else "server_error"
        return HttpError(status, {"error": {"code": status, "message": message, "type": kind}})

    def not_found(self) -> HttpError:
        """The error for a path that is not there."""
        error = {"message": "File Not Found", "type": "not_found_error", "code": 404}
        return HttpError(404, {"error": error})

    def fits(self, ids: list[int]) -> None:
        """Refuses a prompt that is too long, with its length."""
        count, most = len(ids), self.engine.max_len
        if count >= most:
            error = {
                "code": 400,
                "message": f"request ({count} tokens) exceeds the available context size "
                f"({most} tokens), try increasing it",
                "type": "exceed_context_size_error",
                "n_prompt_tokens": count,
                "n_ctx": most,
            }
            raise HttpError(400, {"error": error})

    async def models(self, _: Request) -> Reply:
        """The list of models, in two shapes."""
        name, most = self.settings.model, self.engine.max_len
        meta = {"n_vocab": self.tokenizer.size, "n_ctx": most, "n_ctx_train": most}
        model = {
            "id": name,
            "aliases": [name],
            "tags": [],
            "object": "model",
            "created": CREATED,
            "owned_by": "llamacpp",
            "meta": meta,
        }
        named = {"name": name, "model": name, "type": "model", "capabilities": ["completion"]}
        return Reply({"models": [named], "object": "list", "data": [model]})

    def ask_chat(self, body: Body, ids: list[int], step: int) -> Ask:
        """The request; without a number of candidates there are many."""
        if body.get("logprobs"):
            body = {"top_logprobs": _TOP, **body}
        return super().ask_chat(body, ids, step)

    def choice(self, ask: Ask, body: Body, sample: Sample) -> Body:
        """One choice; without log-probabilities it has no field for them."""
        choice = super().choice(ask, body, sample)
        return {key: value for key, value in choice.items() if value is not None}

    def reply_fields(self, ask: Ask, body: Body) -> Body:
        """The build, and how long it took."""
        return {"system_fingerprint": _BUILD, "timings": _timings(ask)}

    def logprobs(self, ask: Ask, sample: Sample, start: int) -> Body | None:
        """The log-probabilities; candidates are the likeliest, with the sampled one or without."""
        if ask.top is None:
            return None
        texts = self.token_texts(sample)[start:]
        content: list[Body] = []
        for given, text in zip(self.entries(ask, sample, start), texts, strict=False):
            ended = sample.done and len(content) + start == len(sample.entries) - 1
            ended = ended and sample.reason == "stop" and sample.stop is None
            top = sorted(given, key=lambda entry: entry.rank)[: ask.top]
            content.append(
                {
                    **self._token(ask, given[0].id, given[0].logprob, "" if ended else text),
                    "top_logprobs": [self._token(ask, e.id, e.logprob) for e in top],
                }
            )
        return {"content": content}

    def _token(self, ask: Ask, at: int, logprob: float, text: str | None = None) -> Body:
        text = self.tokenizer.token_text(at) if text is None else text
        fields = {"id": at, "token": text, "bytes": list(text.encode()), "logprob": logprob}
        if ask.faults.missing_ids:
            del fields["id"]
        return fields

    async def events(self, ask: Ask, body: Body) -> Events:
        """The events of a streamed reply."""
        head = {
            "created": CREATED,
            "id": ask.name,
            "model": self.settings.model,
            "system_fingerprint": _BUILD,
            "object": "chat.completion.chunk",
        }
        opening = {"finish_reason": None, "delta": {"role": "assistant", "content": None}}
        for index in range(ask.sampling.n):
            yield event({"choices": [{**opening, "index": index}], **head})
        parsers: dict[int, StreamParser] = {}
        last: dict[int, Sample] = {}
        steps = self.steps(ask)
        try:
            async for sample, known in steps:
                index = sample.index
                last[index] = sample
                parser = parsers.setdefault(
                    index,
                    StreamParser(reasoning=self.settings.reasoning, tools=self.tools_wanted(body)),
                )
                shown = _shown(sample)
                text = "".join(self.pieces(sample)[known:shown])
                delta: Body = {}
                for part in parser.feed(text, last=sample.done):
                    self.add(delta, part, f"call_{ask.name[-12:]}_{index}")
                choice: Body = {"finish_reason": None, "index": index, "delta": delta}
                told = self.logprobs(ask, sample, known)
                if told is not None:
                    choice["logprobs"] = {"content": told["content"][: max(0, shown - known)]}
                if shown > known:
                    yield event({"choices": [choice], **head})
                if sample.done:
                    called = parser.called and sample.reason == "stop"
                    reason = "tool_calls" if called else sample.reason
                    ending = {"finish_reason": reason, "index": index, "delta": {}}
                    yield event({"choices": [ending], **head})
        finally:
            await steps.aclose()
        if (body.get("stream_options") or {}).get("include_usage"):
            counts = usage(ask, list(last.values()))
            yield event({"choices": [], **head, "usage": counts, "timings": _timings(ask)})

    async def completion(self, request: Request) -> Reply:
        """Continues a prompt of text or ids."""
        body = self.body(request)
        given = body.get("prompt")
        ids = given if isinstance(given, list) else self.tokenizer.encode(str(given))
        if not all(type(at) is int and 0 <= at < self.tokenizer.size for at in ids):
            raise self.error(400, "Prompt contains invalid tokens")
        self.fits(ids)
        most = body.get("n_predict", body.get("max_tokens"))
        room = self.engine.max_len - len(ids)
        ask = self.ask(
            "cmpl",
            body,
            Prompt(ids=ids),
            top=body.get("n_probs") or None,
            max_tokens=room if most is None or most < 0 else min(most, room),
            n=1,
            step=self.settings.step if body.get("stream") else 0,
        )
        if body.get("stream"):
            return self.stream(ask, self._completion_events(ask, body))
        (sample,) = await self.samples(ask)
        ids = sample.ids if body.get("return_tokens") and not ask.faults.missing_ids else []
        reply = self._completed(ask, sample, self.text(sample), ids)
        return self.reply(ask, reply | self._probabilities(ask, sample, 0, len(sample.entries)))

    def _completed(self, ask: Ask, sample: Sample, text: str, tokens: list[int]) -> Body:
        return {
            "index": 0,
            "content": text,
            "tokens": tokens,
            "id_slot": 0,
            "stop": True,
            "model": self.settings.model,
            "tokens_predicted": len(sample.entries),
            "tokens_evaluated": len(ask.prompt.ids),
            "generation_settings": {"n_ctx": self.engine.max_len},
            "prompt": self.tokenizer.decode(ask.prompt.ids),
            "has_new_line": "\n" in text,
            "truncated": False,
            "stop_type": "word" if sample.stop is not None else _STOPS[sample.reason],
            "stopping_word": sample.stop if isinstance(sample.stop, str) else "",
            "tokens_cached": len(ask.prompt.ids) + max(0, len(sample.entries) - 1),
            "timings": _timings(ask),
        }

    def _probabilities(self, ask: Ask, sample: Sample, start: int, end: int) -> Body:
        told = self.logprobs(ask, sample, start)
        return {} if told is None else {"completion_probabilities": told["content"][: end - start]}

    async def _completion_events(self, ask: Ask, body: Body) -> Events:
        wanted = body.get("return_tokens") and not ask.faults.missing_ids
        steps = self.steps(ask)
        try:
            async for sample, known in steps:
                shown = _shown(sample)
                if shown > known:
                    part = {
                        "index": 0,
                        "content": "".join(self.pieces(sample)[known:shown]),
                        "tokens": sample.ids[known:shown] if wanted else [],
                        "stop": False,
                        "id_slot": -1,
                        "tokens_predicted": len(sample.entries),
                        "tokens_evaluated": len(ask.prompt.ids),
                    }
                    yield event(part | self._probabilities(ask, sample, known, shown))
                if sample.done:
                    yield event(self._completed(ask, sample, "", []))
        finally:
            await steps.aclose()

    async def _health(self, _: Request) -> Reply:
        return Reply({"status": "ok"})

    async def _props(self, _: Request) -> Reply:
        context: dict[str, Any] = {"n_ctx": self.engine.max_len}
        return Reply({"default_generation_settings": context, "total_slots": 4})

    async def _tokenize(self, request: Request) -> Reply:
        body = self.body(request)
        ids = self.tokenizer.encode(str(body.get("content", "")))
        if not body.get("with_pieces"):
            return Reply({"tokens": ids})
        pieces = [{"id": at, "piece": self.tokenizer.token_text(at)} for at in ids]
        return Reply({"tokens": pieces})

    async def _detokenize(self, request: Request) -> Reply:
        return Reply({"content": self.tokenizer.decode(self.body(request).get("tokens") or [])})

    async def _apply_template(self, request: Request) -> Reply:
        return Reply({"prompt": self.prompt_text(self.body(request))})


def _shown(sample: Sample) -> int:
    """How many of the tokens up to now a stream tells: all but the one that ended the turn."""
    ended = sample.done and sample.reason == "stop" and not isinstance(sample.stop, str)
    return len(sample.entries) - ended


def _timings(ask: Ask) -> Body:
    return {"prompt_n": len(ask.prompt.ids)}

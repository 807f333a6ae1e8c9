"""The dialect of SGLang 0.5.23: chat with ids in the choices, and `/generate`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from athlos.testing.stub.dialect import Ask, Body, Route
from athlos.testing.stub.distribution import TokenLogprob
from athlos.testing.stub.engine import Prompt, Sample
from athlos.testing.stub.http import Events, HttpError, Reply, Request, event
from athlos.testing.stub.openai_chat import OpenAIChat

__all__ = ["Sglang"]


class Sglang(OpenAIChat):
    """The stub of SGLang."""

    name: ClassVar[str] = "sglang"
    owner: ClassVar[str] = "sglang"
    samples_at: ClassVar[frozenset[str]] = frozenset({"/v1/chat/completions", "/generate"})

    def routes(self) -> Mapping[str, Route]:
        """All endpoints."""
        return {
            "GET /health": self._health,
            "GET /v1/models": self.models,
            "GET /get_model_info": self._model_info,
            "GET /model_info": self._model_info,
            "GET /server_info": self._server_info,
            "POST /v1/chat/completions": self.chat_completions,
            "POST /generate": self.generate,
            "POST /tokenize": self._tokenize,
            "POST /v1/tokenize": self._tokenize,
            "POST /abort_request": self._abort,
            "POST /pause_generation": self._pause,
            "POST /continue_generation": self._continue,
            "POST /update_weight_version": self._update_weight_version,
        }

    def error(self, status: int, message: str, param: str | None = None) -> HttpError:
        """The error, with its fields at the top as SGLang has them."""
        kind = "NotFoundError" if status == 404 else "BadRequestError"
        value = {"object": "error", "message": message, "type": kind, "param": param}
        return HttpError(status, {**value, "code": status})

    def model_fields(self) -> Body:
        """The length of the context, and where the model is from."""
        return {"root": self.settings.model, "parent": None, "max_model_len": self.engine.max_len}

    def prompt_ids(self, body: Body) -> list[int]:
        """The ids that were given, in place of the template's."""
        if body.get("input_ids") is None:
            return self.render(body)
        self.render(body)  # refuses messages that are none
        return self._known(body["input_ids"])

    def choice(self, ask: Ask, body: Body, sample: Sample) -> Body:
        """One choice, with the ids that were asked for."""
        choice = super().choice(ask, body, sample)
        choice["matched_stop"] = self._matched(sample)
        if body.get("return_prompt_token_ids") and not ask.faults.missing_ids:
            choice["prompt_token_ids"] = ask.prompt.ids
        if body.get("return_token_ids") and not ask.faults.missing_ids:
            choice["response_token_ids"] = sample.ids
        if body.get("return_meta_info"):
            choice["meta_info"] = self._meta(ask, body, sample)
        return choice

    def reply_fields(self, ask: Ask, body: Body) -> Body:
        """The version of the weights."""
        return {"metadata": {"weight_version": self.engine.version}}

    async def generate(self, request: Request) -> Reply:
        """Ids or text in; text, ids and log-probabilities out."""
        body = self.body(request)
        if body.get("input_ids") is not None:
            ids = self._known(body["input_ids"])
        elif isinstance(body.get("text"), str):
            ids = self.tokenizer.encode(body["text"])
        else:
            raise self.error(400, "Either text, input_ids or input_embeds should be provided.")
        self.fits(ids)
        params = {**(body.get("sampling_params") or {})}
        most = params.pop("max_new_tokens", None)
        ask = self.ask(
            "sgl",
            {**params, "return": body.get("return_logprob")},
            Prompt(ids=ids, name=str(body.get("rid") or "")),
            top=body.get("top_logprobs_num", 0) if body.get("return_logprob") else None,
            prompt_top=0,
            max_tokens=128 if most is None else most,
            step=self.settings.step if body.get("stream") else 0,
        )
        if body.get("stream"):
            return self.stream(ask, self._generate_events(ask, body))
        samples = await self.samples(ask)
        made = [self._generated(ask, body, sample) for sample in samples]
        value: Any = made[0] if ask.sampling.n == 1 else made
        return self.reply(ask, value)

    def _generated(self, ask: Ask, body: Body, sample: Sample) -> Body:
        reply: Body = {"text": self.text(sample), "meta_info": self._meta(ask, body, sample)}
        if not ask.faults.missing_ids:
            reply["output_ids"] = sample.ids
        return reply

    async def _generate_events(self, ask: Ask, body: Body) -> Events:
        steps = self.steps(ask)
        try:
            async for sample, _ in steps:  # each event has everything up to now
                pieces = self.pieces(sample)
                yield event(
                    {
                        "text": "".join(pieces[: len(sample.entries)]),
                        "output_ids": sample.ids,
                        "meta_info": self._meta(ask, body, sample),
                    }
                )
        finally:
            await steps.aclose()

    def _meta(self, ask: Ask, body: Body, sample: Sample) -> Body:
        reason: Body | None = None
        if sample.done:
            reason = {"type": sample.reason}
            if sample.reason == "stop":
                reason["matched"] = self._matched(sample)
            elif sample.reason == "length":
                reason["length"] = ask.sampling.max_tokens
        meta: Body = {
            "id": ask.prompt.name,
            "finish_reason": reason,
            "prompt_tokens": len(ask.prompt.ids),
            "weight_version": sample.versions[-1][0] if sample.versions else self.engine.version,
            "completion_tokens": len(sample.entries),
            "cached_tokens": 0,
            "e2e_latency": 0.0,
        }
        if ask.top is None:
            return meta
        entries = self.entries(ask, sample)
        meta["output_token_logprobs"] = [self._triple(given[0], body) for given in entries]
        if ask.top:
            tops = [[self._triple(e, body) for e in given[: ask.top]] for given in entries]
            meta["output_top_logprobs"] = tops
        start = body.get("logprob_start_len", -1)
        if start is not None and start >= 0:
            told = [self._triple(g[0], body) for g in self.prompt_entries(ask, ask.prompt.ids)]
            whole = [[None, ask.prompt.ids[0], self._word(ask.prompt.ids[0], body)], *told]
            meta["input_token_logprobs"] = whole[start:]
        return meta

    def _triple(self, entry: TokenLogprob, body: Body) -> list[Any]:
        return [entry.logprob, entry.id, self._word(entry.id, body)]

    def _word(self, at: int, body: Body) -> str | None:
        return self.tokenizer.token_text(at) if body.get("return_text_in_logprobs") else None

    def _matched(self, sample: Sample) -> str | int | None:
        """What ended it: a text, a token, or the end of the turn by its id."""
        if sample.reason != "stop":
            return None
        return self.tokenizer.end_id if sample.stop is None else sample.stop

    def _known(self, ids: Any) -> list[int]:
        size = self.tokenizer.size
        if not isinstance(ids, list) or not all(type(at) is int and 0 <= at < size for at in ids):
            raise self.error(400, "input_ids must be a list of ids of the vocabulary")
        return ids

    async def _health(self, _: Request) -> Reply:
        return Reply(b"")

    async def _model_info(self, _: Request) -> Reply:
        return Reply(
            {
                "model_path": self.settings.model,
                "tokenizer_path": self.settings.model,
                "is_generation": True,
                "weight_version": self.engine.version,
            }
        )

    async def _server_info(self, _: Request) -> Reply:
        return Reply({"model_path": self.settings.model, "version": "0.5.23"})

    async def _tokenize(self, request: Request) -> Reply:
        body = self.body(request)
        if "messages" in body:
            ids = self.render(body)
        else:
            ids = self.tokenizer.encode(str(body.get("prompt", "")))
        return Reply({"tokens": ids, "count": len(ids), "max_model_len": self.engine.max_len})

    async def _abort(self, request: Request) -> Reply:
        body = self.body(request)
        self.engine.abort(None if body.get("abort_all") else str(body.get("rid")))
        return Reply(b"")

    async def _pause(self, _: Request) -> Reply:
        self.engine.pause("keep")
        return Reply({"status": "ok"})

    async def _continue(self, _: Request) -> Reply:
        self.engine.resume()
        return Reply({"status": "ok"})

    async def _update_weight_version(self, request: Request) -> Reply:
        self.engine.version = str(self.body(request).get("new_version"))
        return Reply({"success": True, "new_version": self.engine.version})

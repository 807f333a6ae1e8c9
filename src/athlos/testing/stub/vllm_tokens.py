"""vLLM's endpoints that take token ids: completions and generate, whole and streamed."""

from __future__ import annotations

from typing import Any

from athlos.testing.stub.dialect import CREATED, Ask, Body, usage
from athlos.testing.stub.distribution import TokenLogprob
from athlos.testing.stub.engine import Prompt, Sample
from athlos.testing.stub.http import Events, Reply, Request, event
from athlos.testing.stub.vllm_base import FINGERPRINT, VllmBase

__all__ = ["VllmTokens"]


class VllmTokens(VllmBase):
    """`/v1/completions` and `/inference/v1/generate`."""

    async def completions(self, request: Request) -> Reply:
        """Continues a prompt of text or ids."""
        body = self.checked(request)
        given = body.get("prompt")
        ids = self.tokenizer.encode(given) if isinstance(given, str) else self.vocabulary(given)
        self.fits(ids, body)
        echo = bool(body.get("echo"))
        top = body.get("logprobs")
        prompt_top = body.get("prompt_logprobs")
        ask = self.ask(
            "cmpl",
            body,
            Prompt(ids=ids),
            top=top,
            prompt_top=top if echo and prompt_top is None else prompt_top,
            max_tokens=16 if body.get("max_tokens") is None else body["max_tokens"],
            step=self.settings.step if body.get("stream") else 0,
        )
        if body.get("stream"):
            return self.stream(ask, self._text_events(ask, body))
        samples = await self.samples(ask)
        return self.reply(
            ask,
            {
                "id": ask.name,
                "object": "text_completion",
                "created": CREATED,
                "model": self.settings.model,
                "choices": [self._text_choice(ask, body, sample, echo) for sample in samples],
                "service_tier": None,
                "system_fingerprint": FINGERPRINT,
                "usage": self.usage(ask, samples),
                "kv_transfer_params": None,
                "ec_transfer_params": None,
                "metrics": None,
            },
        )

    def _text_choice(self, ask: Ask, body: Body, sample: Sample, echo: bool) -> Body:
        shown = bool(body.get("return_token_ids")) and not ask.faults.missing_ids
        text = self.text(sample)
        if echo and isinstance(body.get("prompt"), str):
            text = body["prompt"] + text
        logprobs = None
        if ask.top is not None:
            entries = self.entries(ask, sample)
            first: list[list[TokenLogprob] | int] = []
            if echo:
                first = [ask.prompt.ids[0], *self.prompt_entries(ask, ask.prompt.ids)]
            logprobs = self._columns(body, [*first, *entries], 0)
        return {
            "index": sample.index,
            "text": text,
            "logprobs": logprobs,
            "finish_reason": sample.reason,
            "stop_reason": sample.stop,
            "token_ids": sample.ids if shown else None,
            "prompt_logprobs": self.prompt_logprobs(ask),
            "prompt_token_ids": ask.prompt.ids if shown else None,
            "routed_experts": None,
        }

    def _columns(self, body: Body, entries: list[Any], offset: int) -> Body:
        """Log-probabilities in the shape of completions; a bare id has none."""
        as_id = bool(body.get("return_tokens_as_token_ids"))
        tokens, logprobs, tops, offsets = [], [], [], []
        for given in entries:
            at = given if isinstance(given, int) else given[0].id
            tokens.append(self.token(at, as_id))
            offsets.append(offset)
            offset += len(self.tokenizer.token_text(at))
            logprobs.append(None if isinstance(given, int) else given[0].logprob)
            tops.append(
                None
                if isinstance(given, int)
                else {self.token(entry.id, as_id): entry.logprob for entry in given}
            )
        return {
            "text_offset": offsets,
            "token_logprobs": logprobs,
            "tokens": tokens,
            "top_logprobs": tops,
        }

    async def _text_events(self, ask: Ask, body: Body) -> Events:
        shown = bool(body.get("return_token_ids")) and not ask.faults.missing_ids
        head = {
            "id": ask.name,
            "object": "text_completion",
            "created": CREATED,
            "model": self.settings.model,
        }
        last: dict[int, Sample] = {}
        pieces: dict[int, list[str]] = {}
        steps = self.steps(ask)
        try:
            async for sample, known in steps:
                last[sample.index] = sample
                if sample.index not in pieces:
                    pieces[sample.index] = self.pieces(sample)
                of = pieces[sample.index]
                logprobs = None
                if ask.top is not None:
                    entries = self.entries(ask, sample, known)
                    logprobs = self._columns(body, entries, len("".join(of[:known])))
                choice = {
                    "index": sample.index,
                    "text": "".join(of[known : len(sample.entries)]),
                    "logprobs": logprobs,
                    "finish_reason": sample.reason if sample.done else None,
                    "stop_reason": sample.stop if sample.done else None,
                    "prompt_token_ids": ask.prompt.ids if shown and not known else None,
                    "token_ids": sample.ids[known:] if shown else None,
                }
                yield event({**head, "choices": [choice]})
        finally:
            await steps.aclose()
        if (body.get("stream_options") or {}).get("include_usage"):
            counts = usage(ask, list(last.values()))
            yield event({**head, "choices": [], "usage": counts, "system_fingerprint": FINGERPRINT})

    async def generate(self, request: Request) -> Reply:
        """Token ids in, token ids out."""
        if not self.settings.scale_out:
            raise self.error(403, "Scale-out endpoints are disabled")
        body = self.checked(request)
        ids = self.vocabulary(body.get("token_ids"))
        if not ids:
            raise self.invalid("too_short", "body.token_ids", "List should have 1 item", ids)
        params = body.get("sampling_params")
        if not isinstance(params, dict):
            raise self.invalid("missing", "body.sampling_params", "Field required", params)
        most = self.engine.max_len
        if len(ids) >= most:
            raise self.error(
                400,
                f"The decoder prompt (length {len(ids)}) is longer than the maximum model length "
                f"of {most}. Make sure that `max_model_len` is no smaller than the number of text "
                "tokens.",
            )
        ask = self.ask(
            "generate-tokens",
            params,
            Prompt(ids=ids, name=str(body.get("request_id") or "")),
            top=params.get("logprobs"),
            prompt_top=params.get("prompt_logprobs"),
            step=self.settings.step if body.get("stream") else 0,
        )
        if body.get("stream"):
            return self.stream(ask, self._token_events(ask, body))
        samples = await self.samples(ask)
        return self.reply(
            ask,
            {
                "request_id": ask.prompt.name,
                "model": self.settings.model,
                "created": CREATED,
                "usage": self.usage(ask, samples),
                "prompt_logprobs": self.prompt_logprobs(ask),
                "prompt_token_id_logprobs": None,
                "prompt_token_ids": ids if body.get("return_token_ids") else None,
                "mm_placeholders": None,
                "metrics": None,
                "kv_transfer_params": None,
                "ec_transfer_params": None,
                "output_mode": "tokens",
                "choices": [self._token_choice(ask, sample, 0) for sample in samples],
            },
        )

    def _token_choice(self, ask: Ask, sample: Sample, start: int) -> Body:
        logprobs = None
        if ask.top is not None:
            entries = self.entries(ask, sample, start)
            if self.settings.generate_style == "token":
                content = self.content(sample, start, entries, True, ask.top)
            else:
                content = [
                    {**_ranked(given[0]), "top_logprobs": [_ranked(entry) for entry in given]}
                    for given in entries
                ]
            logprobs = {"content": content}
        return {
            "index": sample.index,
            "finish_reason": sample.reason if sample.done else None,
            "stop_reason": sample.stop if sample.done else None,
            "token_ids": None if ask.faults.missing_ids else sample.ids[start:],
            "routed_experts": None,
            "sampling_mask": None,
            "weight_versions": sample.spans if sample.done else None,
            "logprobs": logprobs,
        }

    async def _token_events(self, ask: Ask, body: Body) -> Events:
        head: Body = {"request_id": ask.prompt.name, "usage": None, "output_mode": "tokens"}
        options = body.get("stream_options") or {}
        first = body.get("return_token_ids")
        last: dict[int, Sample] = {}
        steps = self.steps(ask)
        try:
            async for sample, known in steps:
                last[sample.index] = sample
                chunk = {**head, "choices": [self._token_choice(ask, sample, known)]}
                if first:
                    chunk["prompt_token_ids"], first = ask.prompt.ids, False
                yield event(chunk)
        finally:
            await steps.aclose()
        if options.get("include_usage"):
            yield event({**head, "usage": usage(ask, list(last.values())), "choices": []})


def _ranked(entry: TokenLogprob) -> Body:
    return {"token_id": entry.id, "logprob": entry.logprob, "rank": entry.rank}

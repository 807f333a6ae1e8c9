"""What vLLM's endpoints for samples share: checks, errors, log-probabilities of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from athlos.testing.stub.dialect import Ask, Body, Dialect, number, usage
from athlos.testing.stub.distribution import TokenLogprob
from athlos.testing.stub.engine import Sample
from athlos.testing.stub.http import HttpError, Request

__all__ = ["FINGERPRINT", "VllmBase"]

FINGERPRINT = "vllm-0.32.0-stub"


class VllmBase(Dialect):
    """Checks as vLLM makes them."""

    def body(self, request: Request) -> Body:
        """The request's JSON object; refused as FastAPI does."""
        try:
            value = request.json()
        except ValueError:
            raise self.invalid("json_invalid", "body", "JSON decode error", {}) from None
        if not isinstance(value, dict):
            raise self.invalid("model_attributes_type", "body", "Input should be an object", value)
        return value

    def checked(self, request: Request) -> Body:
        """The body, if it names a model that is there, or none."""
        body = self.body(request)
        model = body.get("model")
        if model is not None and model != self.settings.model:
            aliases = f"Valid aliases: {self.settings.model}."
            raise self.error(404, f"The model `{model}` does not exist. {aliases}", "model")
        if "messages" in body and not isinstance(body["messages"], list):
            text = "Input should be a valid list"
            raise self.invalid("list_type", "body.messages", text, body["messages"])
        return body

    def invalid(self, kind: str, where: str, text: str, given: Any) -> HttpError:
        """The error of a body of the wrong shape."""
        detail = {"type": kind, "loc": where, "msg": text, "input": given}
        error = {"message": f"1 validation error:\n  {detail}", "type": "Bad Request"}
        return HttpError(400, {"error": {**error, "param": where, "code": 400}})

    def fits(self, ids: Sequence[int], body: Body) -> None:
        """Refuses what does not fit into the context."""
        most = self.engine.max_len
        if len(ids) >= most:
            count = min(len(ids), most + 1)  # it counts no further
            raise self.error(
                400,
                f"This model's maximum context length is {most} tokens. However, your prompt "
                f"contains at least {count} input tokens, which exceeds this limit even without "
                "any output tokens. Please reduce the length of the input prompt. "
                f"(parameter=input_tokens, value={count})",
                "input_tokens",
            )
        wanted = number(body, ("max_completion_tokens", "max_tokens"), 1)
        if wanted > most:
            raise self.error(
                400,
                f"max_tokens={wanted} cannot be greater than max_model_len={most}. Please request "
                f"fewer output tokens. (parameter=max_tokens, value={wanted})",
                "max_tokens",
            )
        if len(ids) + wanted > most:
            raise self.error(
                400,
                f"This model's maximum context length is {most} tokens. However, you requested "
                f"{wanted} output tokens and your prompt contains {len(ids)} input tokens, for a "
                f"total of {len(ids) + wanted} tokens. Please reduce the length of the input "
                f"prompt or the number of requested output tokens.",
                "input_tokens",
            )

    def vocabulary(self, ids: Any) -> list[int]:
        """The ids, if they are ids."""
        if not isinstance(ids, list) or not all(type(at) is int and at >= 0 for at in ids):
            raise self.invalid("list_type", "body.token_ids", "Input should be a list of ids", ids)
        unknown = next((at for at in ids if at >= self.tokenizer.size), None)
        if unknown is not None:
            raise self.error(400, f"Token id {unknown} is out of vocabulary")
        return ids

    def usage(self, ask: Ask, samples: list[Sample]) -> Body:
        """Usage as whole replies have it."""
        details = {"prompt_tokens_details": None, "completion_tokens_details": None}
        return {**usage(ask, samples), **details}

    def reasoning_usage(self, samples: list[Sample]) -> Body:
        """What chat says of reasoning in its usage; nothing if reasoning is not told apart."""
        if not self.settings.reasoning:
            return {}
        tokens = sum(self._reasoning_tokens(sample.ids) for sample in samples)
        return {"completion_tokens_details": {"reasoning_tokens": tokens}}

    def _reasoning_tokens(self, ids: Sequence[int]) -> int:
        opening, closing = self.tokenizer.id_of("<think>"), self.tokenizer.id_of("</think>")
        if opening not in ids:
            return 0
        begin = ids.index(opening) + 1
        end = ids.index(closing) if closing in ids else len(ids)
        return max(0, end - begin)

    def prompt_logprobs(self, ask: Ask) -> list[Body | None] | None:
        """One entry for each token of the prompt, the first null; None if not asked for."""
        if ask.prompt_top is None:
            return None
        return [
            None,
            *(
                {
                    str(entry.id): {
                        "logprob": entry.logprob,
                        "rank": entry.rank,
                        "decoded_token": self.tokenizer.token_text(entry.id),
                    }
                    for entry in entries
                }
                for entries in self.prompt_entries(ask, ask.prompt.ids)
            ),
        ]

    def token(self, at: int, as_id: bool) -> str:
        """How a token is called in log-probabilities."""
        return f"token_id:{at}" if as_id else self.tokenizer.token_text(at)

    def content(
        self, sample: Sample, start: int, entries: list[list[TokenLogprob]], as_id: bool, top: int
    ) -> list[Body]:
        """Log-probabilities in the shape of chat completions; `start` is where the first is."""
        texts = self.token_texts(sample)[start:]
        content = []
        for given, text in zip(entries, texts, strict=False):
            told = [self._entry(given[0], as_id, text)]
            told += [self._entry(entry, as_id) for entry in given[1:top]]
            content.append({**told[0], "top_logprobs": told[:top]})
        return content

    def _entry(self, entry: TokenLogprob, as_id: bool, text: str | None = None) -> Body:
        if text is None:
            text = self.tokenizer.token_text(entry.id)
        return {
            "token": f"token_id:{entry.id}" if as_id else text,
            "logprob": entry.logprob,
            "bytes": list(text.encode()),
        }

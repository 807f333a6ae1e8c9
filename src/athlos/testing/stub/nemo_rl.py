"""The dialect of NeMo RL's vLLM server: ids on the message, and prompts that keep their prefix.

The server has two routes, refuses sampling parameters that training does not use, and begins a
prompt with the ids of the conversation's last sample where it finds them. Described in
NVIDIA-NeMo/RL, `nemo_rl/models/generation/vllm/vllm_worker_async.py` and `openai_server_utils.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from athlos.testing.stub.dialect import Ask, Body, Route
from athlos.testing.stub.engine import Sample
from athlos.testing.stub.http import HttpError, Reply, Request
from athlos.testing.stub.openai_chat import OpenAIChat

__all__ = ["NemoRL"]


class NemoRL(OpenAIChat):
    """The stub of NeMo RL's server."""

    name: ClassVar[str] = "nemo_rl"
    samples_at: ClassVar[frozenset[str]] = frozenset({"/v1/chat/completions"})

    def routes(self) -> Mapping[str, Route]:
        """Two endpoints, one of them at the root."""
        return {
            "POST /v1/chat/completions": self.chat_completions,
            "POST /tokenize": self._tokenize,
        }

    def error(self, status: int, message: str, param: str | None = None) -> HttpError:
        """The error; of a prompt that is too long it has another type."""
        kind = "invalid_request_error" if status == 400 else "internal_error"
        return HttpError(status, {"error": {"message": message, "type": kind, "code": status}})

    def check(self, body: Body) -> None:
        """Refuses, with the status of a failed assertion, what training does not sample with."""
        if body.get("top_k") not in (None, -1):
            raise self._failed("top_k must be None or -1")
        if body.get("top_p") is None:
            raise self._failed("top_p must be set")
        if body.get("temperature") is None:
            raise self._failed("temperature must be set")
        if body.get("logprobs") and body.get("top_logprobs", 0) is None:
            raise self._failed("top_logprobs must not be null when logprobs is true")

    def prompt_ids(self, body: Body) -> list[int]:
        """The template's ids, behind those of the last sample if they are known."""
        ids = self.render(body)
        prefix = body.get("required_prefix_token_ids") or _prefix(body["messages"])
        if not prefix:
            return ids
        messages = body["messages"]
        last = max(
            (place for place, m in enumerate(messages) if m.get("role") == "assistant"), default=-1
        )
        closed = {**body, "messages": messages[: last + 1], "add_generation_prompt": False}
        return self._spliced(prefix, self.render(closed), ids)

    def _spliced(self, prefix: list[int], closed: list[int], whole: list[int]) -> list[int]:
        """The prefix, then what follows the end of its last turn in `whole`."""
        end = self.tokenizer.end_id
        count = closed.count(end)
        places = [place for place, at in enumerate(whole) if at == end]
        if not count or len(places) < count:
            raise self._failed("the prompt has fewer ends of turns than its prefix")
        cut = places[count - 1]
        return (prefix[:-1] if prefix[-1] == end else prefix) + whole[cut:]

    def choice(self, ask: Ask, body: Body, sample: Sample) -> Body:
        """One choice, with the ids on its message."""
        choice = super().choice(ask, body, sample)
        if not ask.faults.missing_ids:
            entries = self.entries(ask, sample)
            choice["message"] |= {
                "prompt_token_ids": ask.prompt.ids,
                "generation_token_ids": sample.ids,
                "generation_log_probs": [given[0].logprob for given in entries],
            }
        return choice

    def ask_chat(self, body: Body, ids: list[int], step: int) -> Ask:
        """The request; log-probabilities are computed whether it asks or not."""
        if not body.get("logprobs"):
            body = {**body, "logprobs": True, "top_logprobs": 0}
        return super().ask_chat(body, ids, step)

    def token_fields(self, ask: Ask, at: int) -> Body:
        """Tokens are called by their ids."""
        if ask.faults.missing_ids:
            return super().token_fields(ask, at)
        return {"token": f"token_id:{at}"}

    async def _tokenize(self, request: Request) -> Reply:
        body = self.body(request)
        if "messages" in body:
            ids = self.prompt_ids(body)
        else:
            ids = self.tokenizer.encode(str(body.get("prompt", "")))
        most = self.engine.max_len
        return Reply({"count": len(ids), "max_model_len": most, "tokens": ids, "token_strs": None})

    def _failed(self, message: str) -> HttpError:
        return HttpError(500, {"detail": f"AssertionError: {message}"})


def _prefix(messages: list[Body]) -> list[int]:
    """The ids up to and including the last sample that has them on its message."""
    for message in reversed(messages):
        if message.get("prompt_token_ids"):
            return list(message["prompt_token_ids"]) + list(message["generation_token_ids"])
    return []

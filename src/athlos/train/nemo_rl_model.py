"""The policy of NeMo RL: its HTTP servers, whose prompts keep the tokens that were sampled.

Source: NVIDIA-NeMo/RL, `nemo_rl/models/generation/vllm/vllm_worker_async.py`. The server has
`/v1/chat/completions` (and `/tokenize` at its root), no list of models, and an assertion on all
sampling parameters that are not those of the training or of the validation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from athlos.errors import ModelError
from athlos.models.chat import Reply, encode_request
from athlos.models.client import Model
from athlos.models.deadlines import Deadlines
from athlos.models.dialects import ASK
from athlos.models.session import Session
from athlos.models.token_modes import Capture
from athlos.types import Message

__all__ = ["KeptPrefix", "policy_model"]

_PATIENCE = 3600.0  # seconds of a call: a batch of long samples waits inside of the server
_PREFIX = "required_prefix_token_ids"


def policy_model(base_urls: str | Sequence[str], name: str, **options: Any) -> Model:
    """The policy behind NeMo RL's servers.

    Args:
        base_urls: As `policy_generation.dp_openai_server_base_urls` has them; each ends in `/v1`.
        name: Of the model, as the policy's configuration has it.
        options: Of `Model`.
    """
    options.setdefault("deadlines", Deadlines(first_byte=_PATIENCE, total=_PATIENCE))
    return Model(base_urls, name, tokens=KeptPrefix(), **options)


class _Said(NamedTuple):
    """What a session's last call was asked and answered, and the ids of both."""

    messages: list[Message]
    ids: list[int]


class KeptPrefix(Capture):
    """As `Capture`, and each prompt begins with the ids of the call before it.

    Where a conversation goes on, the server is told which ids its prompt must begin with; it
    renders only what is new. A conversation that was rewritten is rendered anew, and forks.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ask = {**ASK["nemo-rl"], "return_token_ids": True}  # the latter is for plain vLLM

    def settings(self) -> dict[str, Any]:
        """What of it identifies a run."""
        return {"mode": "capture", "prefix": "required"}

    async def connect(self, model: Model, sampling: Mapping[str, Any]) -> None:
        """Asks nothing: the server takes no sampling parameters but those of a row."""

    async def chat(
        self,
        model: Model,
        session: Session | None,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | msgspec.Raw,
        sampling: Mapping[str, Any],
    ) -> Reply:
        """One call; see `Model.chat`.

        Raises:
            ModelError: The reply has no token ids.
        """
        asked = self.request(sampling)
        before: _Said | None = session.conversation if session is not None else None
        sent = asked if before is None or not _goes_on(messages, before.messages) else {
            **asked, _PREFIX: before.ids
        }  # fmt: skip
        body = encode_request(model.name, messages, tools, sent)
        reply = await model.ask(session, "/chat/completions", body, self.read, sampling)
        prompt, choice = reply.prompt_token_ids, reply.choices[0]
        if prompt is None or choice.token_ids is None or choice.logprobs is None:
            raise ModelError(
                f"{model.base_url} does not say which tokens it sampled",
                hint="It must be NeMo RL's own server: "
                "policy.generation.vllm_cfg.expose_http_server: true.",
            )
        if session is not None:
            known = [*messages, choice.message]
            session.conversation = _Said(known, prompt + choice.token_ids)
        kept = {"model": model.name, "tools": tools, **asked}
        reply.request = msgspec.Raw(msgspec.json.encode({k: v for k, v in kept.items() if v != ()}))
        return reply


def _goes_on(messages: Sequence[Message], before: list[Message]) -> bool:
    """Whether the conversation was only added to, and by nobody who speaks for the model."""
    count = len(before)
    return list(messages[:count]) == before and all(
        message.role != "assistant" for message in messages[count:]
    )

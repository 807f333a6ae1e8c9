"""What a server's own tokenizer and chat template make of a text or a conversation."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from athlos.errors import ConfigError, ModelError
from athlos.models.tokens import Renderer, Tokenizer
from athlos.models.transport import TransportError
from athlos.types import Message

if TYPE_CHECKING:
    from athlos.models.client import Model

__all__ = ["OPEN", "TEMPLATE", "apply_template", "compare_tokenizers", "tokenize"]

TEMPLATE = "chat_template_kwargs"
"""The sampling parameter that holds the variables of the chat template."""
OPEN = [Message("user", "Write a random number between 10000 and 99999, and nothing else.")]
"""A conversation whose first reply nobody can be sure of."""
_TEXT = "Größe 12,345:\n\tdef f(x):  return x**2  # 漢字 🙂"

_log = logging.getLogger(__name__)


class _Tokenized(msgspec.Struct):
    tokens: list[int] | None = None


class _Applied(msgspec.Struct):
    prompt: str = ""


async def tokenize(model: Model, request: Mapping[str, Any]) -> list[int] | None:
    """Ids by the server's `/tokenize`; None if it has none, or takes no such request."""
    response = await _post(model, "//tokenize", request)
    if response is None:
        return None
    try:
        return msgspec.json.decode(response, type=_Tokenized).tokens
    except msgspec.DecodeError:
        return None


async def apply_template(model: Model, request: Mapping[str, Any]) -> str:
    """The text of a conversation, by llama.cpp's `/apply-template`; "" elsewhere."""
    response = await _post(model, "//apply-template", request)
    return "" if response is None else msgspec.json.decode(response, type=_Applied).prompt


async def _post(model: Model, path: str, request: Mapping[str, Any]) -> bytes | None:
    """The body of a reply; None if the server does not take the request."""
    try:
        response = await model.probe(path, msgspec.json.encode(request))
    except TransportError as error:
        raise ModelError(f"{model.base_url}: {error}", retryable=True) from error
    return response.body if response.status == 200 else None


async def compare_tokenizers(
    model: Model, tokenizer: Tokenizer, renderer: Renderer, sampling: Mapping[str, Any]
) -> None:
    """Compares ours with the server's, if it has an endpoint for that.

    Raises:
        ConfigError: They make other ids of a text: this is not the model's tokenizer.
    """
    asked = {"model": model.name, "prompt": _TEXT, "add_special_tokens": False}
    theirs = await tokenize(model, asked)
    if not theirs:  # llama.cpp's
        plain = {"content": _TEXT, "add_special": False, "parse_special": False}
        theirs = await tokenize(model, plain)
    ours = tokenizer.encode(_TEXT)
    if theirs and theirs != ours:
        raise ConfigError(
            f"the tokenizer is not that of {model.name} at {model.base_url}: of one text it makes "
            f"{len(ours)} ids ({ours[:4]} ...), the server {len(theirs)} ({theirs[:4]} ...)",
            hint="--tokenizer must name the tokenizer of the model that is served.",
        )
    messages = [Message("system", "Be brief."), *OPEN]
    chat = {"model": model.name, "messages": messages, "add_generation_prompt": True}
    if TEMPLATE in sampling:
        chat[TEMPLATE] = sampling[TEMPLATE]
    theirs = await tokenize(model, chat)
    if theirs and theirs != (ours := renderer.render(messages, ())):
        places = zip(theirs, ours, strict=False)
        place = next((i for i, (a, b) in enumerate(places) if a != b), min(len(theirs), len(ours)))
        _log.warning(
            "the chat format %s makes other ids of a conversation than the server's template: from "
            "position %d on %r in place of %r. Exact mode uses the former; is it the one that the "
            "model knows?",
            renderer.name,
            place,
            renderer.decode(ours[place : place + 8]),
            renderer.decode(theirs[place : place + 8]),
        )

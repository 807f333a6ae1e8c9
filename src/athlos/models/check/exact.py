"""Tries of the endpoints behind the chat: text to ids, ids to ids, and the engine's own weights."""

from __future__ import annotations

from typing import Any

from athlos.errors import ModelError
from athlos.models.check.calls import ASK, TOOLS
from athlos.models.check.capability import Result, capability, no, partly, yes
from athlos.models.check.target import (
    HELLO,
    NoAnswer,
    Refused,
    Render,
    Target,
    Unusable,
    dig,
)
from athlos.models.engines import ENGINES, Engine

__all__ = ["prompt_logprobs", "token_in", "tokenize", "weight_version"]

_FAULTS = (Refused, NoAnswer, Unusable)
_ANY = [1, 2, 3, 4]  # ids that every vocabulary has


def _ids(value: Any) -> list[int] | None:
    good = isinstance(value, list) and value and all(type(v) is int for v in value)
    return value if good else None


def _tokenizer(target: Target, path: str, field: str) -> Render:
    """Asks an endpoint that applies the chat template and returns ids."""

    async def render(
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]] | None = None,
        *,
        generation: bool = True,
    ) -> list[int]:
        body = {"model": target.model, "messages": messages, "add_generation_prompt": generation}
        if tools:
            body["tools"] = tools
        found = _ids((await target.post(path, body, light=True)).get(field))
        if found is None:
            raise Unusable(f"the reply has no ids in {field}")
        return found

    return render


def _templater(target: Target) -> Render:
    """llama.cpp: the template gives text, the tokenizer ids."""

    async def render(
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]] | None = None,
        *,
        generation: bool = True,
    ) -> list[int]:
        body: dict[str, Any] = {"messages": messages, "add_generation_prompt": generation}
        if tools:
            body["tools"] = tools
        text = (await target.post("//apply-template", body, light=True)).get("prompt")
        body = {"content": text, "add_special": True, "parse_special": True}
        found = _ids((await target.post("//tokenize", body, light=True)).get("tokens"))
        if found is None:
            raise Unusable("the reply has no ids in tokens")
        return found

    return render


@capability(
    "tokenize",
    unlocks="prompt ids where replies have none; what is too long is known beforehand",
    switch_on={
        "vllm": "a newer release",
        "sglang": "a newer release; older ones take text only",
        "nemo-rl": "policy.generation.vllm_cfg.expose_http_server: true",
    },
    after=("token ids",),
)
async def tokenize(target: Target) -> Result:
    """Ids of a conversation with tools, where an endpoint gives them."""
    ways = {
        "/tokenize": _tokenizer(target, "//tokenize", "tokens"),
        "/v1/tokenize": _tokenizer(target, "/tokenize", "tokens"),
        "/apply-template and /tokenize": _templater(target),
        "/v1/chat/completions/render": _tokenizer(target, "/chat/completions/render", "token_ids"),
    }
    works: list[str] = []
    first = ""
    for name, render in ways.items():
        try:
            plain = await render(HELLO)
        except _FAULTS as error:
            missing = isinstance(error, Refused) and error.status == 404
            first = first or ("" if missing else str(error))
            continue
        works.append(name)
        if target.notes.render is None:
            target.notes.render, ids = render, plain
    if not works:
        return await _text_only(target, first)
    assert target.notes.render is not None
    data = {"endpoints": works}
    detail = f"of messages: {', '.join(works)}"
    expected = target.notes.prompt_ids
    count = dig(target.notes.reply, "usage", "prompt_tokens")
    if (expected and expected != ids) or (not expected and count and count != len(ids)):
        return partly(f"{detail}; but the ids are not those of the chat's prompt", **data)
    try:
        with_tools = await target.notes.render(ASK, TOOLS)
        bare = await target.notes.render(ASK)
    except _FAULTS as error:
        return partly(f"{detail}; tools are refused: {error}", **data)
    if with_tools == bare:
        return partly(f"{detail}; tools change nothing", **data)
    return yes(f"{detail}, with tools; as in the chat", **data)


async def _text_only(target: Target, first: str) -> Result:
    bodies = ({"model": target.model, "prompt": "hello"}, {"content": "hello"}, {"text": "hello"})
    for path in ("//tokenize", "/tokenize"):
        for body in bodies:
            try:
                if _ids((await target.post(path, body, light=True)).get("tokens")):
                    return partly("of plain text only")
            except _FAULTS:
                continue
    return no(first or "none of the endpoints is there")


def _name(engine: Engine) -> str:
    return engine.path[1:] if engine.path.startswith("//") else f"/v1{engine.path}"


async def _prompt(target: Target) -> list[int]:
    if target.notes.render is not None:
        return await target.notes.render(HELLO)
    return target.notes.prompt_ids or _ANY


@capability(
    "token-in endpoint",
    unlocks="exact mode: a conversation goes on from the ids that were sampled",
    switch_on={
        "vllm": "--enable-scale-out for /inference/v1/generate; /v1/completions is always there",
        "sglang": "nothing; /generate is always there",
        "llamacpp": "nothing; /completion is always there",
        "nemo-rl": "nothing; it has the chat only",
    },
    after=("tokenize", "token ids"),
)
async def token_in(target: Target) -> Result:
    """Ids to each endpoint that is known to take them; ids and log-probabilities must come."""
    prompt = await _prompt(target)
    sampling = {"max_tokens": 4, "temperature": 1.0, "top_p": 1.0}
    good: dict[str, str] = {}
    refused: dict[str, str] = {}
    for engine in ENGINES.values():
        name = _name(engine)
        body = engine.encode(target.model, prompt, sampling, ())
        try:
            said = engine.decode(await target.send("POST", engine.path, body))
        except (*_FAULTS, ModelError) as error:
            if not (isinstance(error, Refused) and error.status == 404):
                refused[name] = error.message if isinstance(error, ModelError) else str(error)
            continue
        if not said.token_ids:
            refused[name] = "sampled nothing"
            continue
        good[name] = engine.name
        if said.versions:
            target.notes.versions[name] = [span.version for span in said.versions]
    data = {"endpoints": list(good), "engines": list(good.values()), "refused": refused}
    rest = "; ".join(f"{name}: {text}" for name, text in refused.items())
    if good:
        return yes(", ".join(good) + (f"; not {rest}" if rest else ""), **data)
    return no(rest or "none of the endpoints is there", **data)


@capability(
    "prompt log-probabilities",
    unlocks="athlos audit: stored sequences are replayed through the engine",
    switch_on={
        "llamacpp": "nothing; it has none",
        "local": "nothing; it has none",
        "nemo-rl": "nothing; it has the chat only",
    },
    after=("tokenize", "token ids"),
)
async def prompt_logprobs(target: Target) -> Result:
    """One of each id of a prompt but the first."""
    prompt = await _prompt(target)
    works: list[str] = []
    refused: dict[str, str] = {}
    for engine in ENGINES.values():
        if engine.encode_score is None or engine.decode_score is None:
            continue
        body = engine.encode_score(target.model, prompt)
        try:
            values = engine.decode_score(await target.send("POST", engine.path, body), prompt)
        except (*_FAULTS, ModelError) as error:
            if not (isinstance(error, Refused) and error.status == 404):
                said = error.message if isinstance(error, ModelError) else str(error)
                refused[_name(engine)] = said
            continue
        if len(values) == len(prompt) - 1:
            works.append(_name(engine))
    data = {"endpoints": works, "refused": refused}
    if works:
        return yes(f"of {len(prompt)} given ids, by {', '.join(works)}", **data)
    rest = "; ".join(f"{name}: {text}" for name, text in refused.items())
    return no(rest or "none of the endpoints is there", **data)


@capability(
    "weight version",
    unlocks="which weights made which token, while they are being updated",
    switch_on={
        "vllm": "--enable-scale-out (in replies); VLLM_SERVER_DEV_MODE=1 (/weight_info)",
        "sglang": "--weight-version NAME",
    },
    after=("token-in endpoint",),
)
async def weight_version(target: Target) -> Result:
    """In the replies of the token-in endpoints, or at an endpoint of its own."""
    in_replies = dict(target.notes.versions)
    asked: dict[str, Any] = {}
    for path in ("//weight_info", "//model_info", "//get_model_info"):
        try:
            found = (await target.get(path)).get("weight_version")
        except _FAULTS:
            continue
        if found is not None:
            asked[path[1:]] = found
    data = {"replies": in_replies, "endpoints": asked}
    there = [*(f"in replies of {name}" for name in in_replies), *(f"at {path}" for path in asked)]
    if in_replies:
        return yes(", ".join(there), **data)
    if asked:
        return partly(f"{', '.join(there)}; not in replies", **data)
    return no("no reply and no endpoint says it")

"""Finds the model, then tries each capability, each with a deadline of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from athlos.errors import ConfigError
from athlos.models.addresses import http_transports, read_urls
from athlos.models.check import basics, calls, exact, template, tokens
from athlos.models.check.capability import Capability, Result, no
from athlos.models.check.report import Finding, Report
from athlos.models.check.target import NoAnswer, Refused, Target, Unusable, dig
from athlos.models.transport import Transport
from athlos.timeouts import time_limit

__all__ = ["CAPABILITIES", "check_model", "check_transport"]

CAPABILITIES: tuple[Capability, ...] = (
    basics.models,
    basics.chat,
    calls.tools,
    calls.parallel_calls,
    calls.streamed_calls,
    calls.reasoning,
    basics.streaming,
    basics.stream_usage,
    basics.several,
    basics.seed,
    basics.stop_strings,
    basics.structured,
    basics.context_length,
    tokens.logprobs,
    tokens.logprob_mode,
    tokens.token_ids,
    tokens.stop_ids,
    exact.tokenize,
    exact.token_in,
    exact.prompt_logprobs,
    template.prefix_stability,
    exact.weight_version,
)

_ALONE = (basics.models, basics.chat, basics.seed)  # one after another, before the rest
_AT_ONCE = 4
_CONNECT = 10.0  # seconds
_KINDS = ("vllm", "sglang", "llamacpp", "local")  # as their lists of models say it
_MODEL_HINT = "--model names it."


async def check_model(
    url: str,
    model: str | None = None,
    api_key_env: str | None = None,
    *,
    timeout: float = 60.0,
) -> Report:
    """Tries each capability of a model server with small requests, about fifty in all.

    Args:
        url: The base URL, usually ending in `/v1`; or `local` or `local:/path.gguf`, the
            embedded model.
        model: Its name; None takes the only one that the server lists.
        api_key_env: The environment variable that holds the key; None is `OPENAI_API_KEY`, which
            may be unset.
        timeout: Seconds that each capability may take.

    Raises:
        ConfigError: No server answers there, it refuses the key, or it has no such model.
    """
    if url == "local" or url.startswith("local:"):
        from athlos.models.local import LocalTransport, find_gguf

        return await check_transport(url, LocalTransport(find_gguf(url)), model, timeout)
    urls = read_urls(url)
    if len(urls) != 1:
        raise ConfigError("a check is of one server: pass one base URL")
    (transport,) = http_transports(urls, api_key_env, _CONNECT, _AT_ONCE)
    return await check_transport(urls[0], transport, model, timeout)


async def check_transport(
    url: str, transport: Transport, model: str | None, timeout: float
) -> Report:
    """Checks one model over this transport, and closes it.

    Args:
        url: What the report calls the server.
        transport: To the server.
        model: See `check_model`.
        timeout: See `check_model`.

    Raises:
        ConfigError: See `check_model`.
    """
    target = Target(transport, timeout)
    try:
        await _find(target, url, model)
        findings = await _try_all(target, url)
    finally:
        await transport.close()
    for finding, each in zip(findings, CAPABILITIES, strict=True):
        advice = "" if finding.found == "yes" else each.advice(target.kind)
        unsure = advice and finding.found == "unknown"
        finding.switch_on = f"{advice} (if it is off)" if unsure else advice
    return Report(url, target.model, target.kind, findings)


async def _find(target: Target, url: str, model: str | None) -> None:
    """Settles on the model's name and, if the list says so, on the kind of server."""
    target.model = model or ""
    try:
        reply = await target.get("/models")
    except NoAnswer as error:
        if model is None or not error.late:
            raise ConfigError(
                f"no model server at {url}: {error}",
                hint="Is it running? The URL looks like http://127.0.0.1:8000/v1.",
            ) from error
        return
    except Refused as refused:
        if refused.status in (401, 403):
            raise ConfigError(
                f"{url} refused the API key (HTTP {refused.status})",
                hint="--api-key-env names the environment variable that holds the key "
                "(OPENAI_API_KEY by default).",
            ) from refused
        if refused.status in (429, 502, 503, 504):
            raise ConfigError(
                f"{url} does not answer now: {refused}", hint="Is the model still loading?"
            ) from refused
        await _look_below(target, url)
        if model is None:
            raise ConfigError(
                f"which model? {url} has no list of models (HTTP {refused.status})",
                hint=_MODEL_HINT,
            ) from refused
        return
    except Unusable as error:
        if model is None:
            raise ConfigError(f"which model? {url}/models: {error}", hint=_MODEL_HINT) from error
        return
    data = reply.get("data")
    entries = data if isinstance(data, list) else []
    names = [name for entry in entries if isinstance(name := dig(entry, "id"), str)]
    if model is None and len(names) == 1:
        target.model = names[0]
    elif model is None or (names and model not in names):
        raise ConfigError(
            f"no model {model!r} at {url}" if model else f"which model? {url} has {len(names)}",
            hint=f"It has: {', '.join(names)}" if names else _MODEL_HINT,
        )
    owner = next((dig(e, "owned_by") for e in entries if dig(e, "id") == target.model), None)
    target.kind = owner if owner in _KINDS else ""


async def _look_below(target: Target, url: str) -> None:
    """Says so if the base URL lacks its `/v1`."""
    if url.endswith("/v1"):
        return
    try:
        await target.get("/v1/models")
    except (Refused, NoAnswer, Unusable):
        return
    raise ConfigError(f"{url} is not the server's OpenAI base", hint=f"Meant is probably {url}/v1.")


async def _try_all(target: Target, url: str) -> list[Finding]:
    done: dict[str, asyncio.Future[Finding]] = {
        each.name: asyncio.get_running_loop().create_future() for each in CAPABILITIES
    }
    for each in _ALONE:
        done[each.name].set_result(await _try(target, each, done))
        if each is basics.chat:
            _say_if_nothing(url, target, done["models"].result(), done["chat"].result())
    turns = asyncio.Semaphore(_AT_ONCE)

    async def run(each: Capability) -> None:
        await asyncio.wait([done[name] for name in each.needs + each.after])
        async with turns:
            done[each.name].set_result(await _try(target, each, done))

    async with asyncio.TaskGroup() as group:
        for each in CAPABILITIES:
            if each not in _ALONE:
                group.create_task(run(each))
    return [done[each.name].result() for each in CAPABILITIES]


def _say_if_nothing(url: str, target: Target, models: Finding, chat: Finding) -> None:
    """Ends the check if there is nothing to check."""
    if chat.found != "no" or models.found == "yes":
        return
    if chat.data.get("status") == 404 and "model" in chat.detail.lower():
        raise ConfigError(f"no model {target.model!r} at {url}: {chat.detail}")
    raise ConfigError(
        f"no OpenAI server at {url}: /models: {models.detail}; /chat/completions: {chat.detail}",
        hint="The base URL usually ends in /v1.",
    )


async def _try(
    target: Target, each: Capability, done: dict[str, asyncio.Future[Finding]]
) -> Finding:
    lacking = [name for name in each.needs if done[name].result().found in ("no", "unknown")]
    began = time.monotonic()
    if lacking:
        states: Sequence[str] = [done[name].result().found for name in lacking]
        result = no(f"needs {' and '.join(lacking)}")
        if "no" not in states:
            result.found = "unknown"
    else:
        result = await _result(target, each)
    seconds = round(time.monotonic() - began, 3)
    return Finding(
        each.name,
        result.found,
        result.detail,
        each.unlocks,
        required=each.required,
        data=result.data,
        seconds=seconds,
    )


async def _result(target: Target, each: Capability) -> Result:
    try:
        with time_limit(target.timeout):
            return await each.probe(target)
    except TimeoutError:
        return no(f"no answer within {target.timeout:g} s; see --timeout")
    except Refused as refused:
        return no(str(refused), status=refused.status)
    except (NoAnswer, Unusable) as error:
        return no(str(error))
    except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
        # replies are not to be trusted: whatever shape they have, the other tries go on
        return no(f"unusable reply: {type(error).__name__}: {error}"[:160])

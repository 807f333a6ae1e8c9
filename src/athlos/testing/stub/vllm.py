"""The dialect of vLLM 0.32: chat, completions, generate, tokenize, render, weight versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from athlos.testing.stub.dialect import CREATED, Body, Route, number
from athlos.testing.stub.engine import Prompt
from athlos.testing.stub.http import Reply, Request
from athlos.testing.stub.vllm_chat import VllmChat
from athlos.testing.stub.vllm_tokens import VllmTokens

__all__ = ["Vllm"]

_VERSION = "0.32.0"


class Vllm(VllmChat, VllmTokens):
    """The stub of vLLM."""

    name: ClassVar[str] = "vllm"
    samples_at: ClassVar[frozenset[str]] = frozenset(
        {"/v1/chat/completions", "/v1/completions", "/inference/v1/generate"}
    )

    def routes(self) -> Mapping[str, Route]:
        """All endpoints; those of a server in development mode are there, too."""
        return {
            "GET /health": self._health,
            "GET /version": self._version,
            "GET /v1/models": self._models,
            "POST /v1/chat/completions": self.chat_completions,
            "POST /v1/chat/completions/render": self._render,
            "POST /v1/completions": self.completions,
            "POST /inference/v1/generate": self.generate,
            "POST /tokenize": self._tokenize,
            "POST /detokenize": self._detokenize,
            "POST /pause": self._pause,
            "POST /resume": self._resume,
            "GET /is_paused": self._is_paused,
            "POST /update_weight_version": self._update_weight_version,
            "GET /weight_info": self._weight_info,
            "POST /init_weight_transfer_engine": _say("Weight transfer initialized"),
            "POST /start_weight_update": _say("Weight update started"),
            "POST /update_weights": _say("Weights updated"),
            "POST /finish_weight_update": self._finish_weight_update,
            "POST /reset_prefix_cache": _say(""),
            "POST /abort_requests": self._abort,
            "POST /inference/v1/abort_requests": self._abort,
            "POST /collective_rpc": self._collective_rpc,
        }

    async def _health(self, _: Request) -> Reply:
        return Reply(b"")

    async def _version(self, _: Request) -> Reply:
        return Reply({"version": _VERSION})

    async def _models(self, _: Request) -> Reply:
        permission = {
            "id": "modelperm-0",
            "object": "model_permission",
            "created": CREATED,
            "allow_create_engine": False,
            "allow_sampling": True,
            "allow_logprobs": True,
            "allow_search_indices": False,
            "allow_view": True,
            "allow_fine_tuning": False,
            "organization": "*",
            "group": None,
            "is_blocking": False,
        }
        model = {
            "id": self.settings.model,
            "object": "model",
            "created": CREATED,
            "owned_by": "vllm",
            "root": f"/models/{self.settings.model}",
            "parent": None,
            "max_model_len": self.engine.max_len,
            "permission": [permission],
        }
        return Reply({"object": "list", "data": [model]})

    async def _render(self, request: Request) -> Reply:
        body = self.checked(request)
        ids = self.render(body)
        self.fits(ids, body)
        known: Body = {
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "repetition_penalty": 1.0,
            "temperature": 1.0,
            "top_p": 1.0,
            "min_p": 0.0,
            "seed": None,
            "stop": [],
            "stop_token_ids": [],
        }
        params: Body = {key: number(body, (key,), value) for key, value in known.items()}
        room = self.engine.max_len - len(ids)
        params["max_tokens"] = number(body, ("max_completion_tokens", "max_tokens"), room)
        if body.get("tools"):
            params["skip_special_tokens"] = False
        params |= {"output_kind": 2, "skip_clone": True, "bad_words": []}
        params["skip_reading_prefix_cache"] = False
        return Reply(
            {
                "request_id": self.ask("chatcmpl", body, Prompt(ids=ids)).name,
                "token_ids": ids,
                "token_offsets": None,
                "features": None,
                "content_parts": None,
                "sampling_params": params,
                "model": self.settings.model,
                "reasoning_ended": None,
                "reasoning_parser_kwargs": None,
                "return_token_ids": body.get("return_token_ids"),
                "output_mode": "tokens",
                "stream": body.get("stream", False),
                "stream_options": body.get("stream_options"),
                "cache_salt": None,
                "priority": 0,
                "kv_transfer_params": None,
                "ec_transfer_params": None,
            }
        )

    async def _tokenize(self, request: Request) -> Reply:
        body = self.checked(request)
        if "messages" in body:
            ids = self.render(body)
        elif isinstance(body.get("prompt"), str):
            ids = self.tokenizer.encode(body["prompt"])
        else:
            raise self.invalid("missing", "body.prompt", "Field required", body)
        strings = [self.tokenizer.symbol(at) for at in ids]
        return Reply(
            {
                "count": len(ids),
                "max_model_len": self.engine.max_len,
                "tokens": ids,
                "token_strs": strings if body.get("return_token_strs") else None,
            }
        )

    async def _detokenize(self, request: Request) -> Reply:
        body = self.checked(request)
        ids = self.vocabulary(body.get("tokens") or [])
        return Reply({"prompt": self.tokenizer.decode(ids)})

    async def _pause(self, request: Request) -> Reply:
        mode = request.query.get("mode", "abort")
        if mode not in ("abort", "wait", "keep"):
            raise self.invalid("literal_error", "query.mode", "Input should be 'abort'", mode)
        self.engine.pause(mode)
        return Reply({"status": "paused"})

    async def _resume(self, _: Request) -> Reply:
        self.engine.resume()
        return Reply({"status": "resumed"})

    async def _is_paused(self, _: Request) -> Reply:
        return Reply({"is_paused": self.engine.paused})

    async def _update_weight_version(self, request: Request) -> Reply:
        version = self.body(request).get("new_version")
        if not isinstance(version, str):
            raise self.invalid("missing", "body.new_version", "Field required", version)
        self.engine.version = version
        return Reply({"success": True, "new_version": version})

    async def _finish_weight_update(self, request: Request) -> Reply:
        version = self.body(request).get("weight_version") if request.body else None
        if version is not None:
            self.engine.version = str(version)
        return Reply({"message": "Weight update finished"})

    async def _weight_info(self, _: Request) -> Reply:
        return Reply({"weight_version": self.engine.version})

    async def _abort(self, request: Request) -> Reply:
        names = self.body(request).get("request_ids") or [None]
        return Reply({"status": "aborted", "aborted": sum(map(self.engine.abort, names))})

    async def _collective_rpc(self, _: Request) -> Reply:
        return Reply({"results": [None]})


def _say(message: str) -> Route:
    """An endpoint that does nothing and says so."""

    async def route(_: Request) -> Reply:
        return Reply({"message": message} if message else b"")

    return route

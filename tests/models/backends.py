"""Small model servers with the endpoints and dialects of real ones. For tests only."""

import asyncio
import json
import random
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from athlos.models.transport import Response, TransportError

__all__ = ["Backend", "Refusal", "Response", "Served", "TransportError"]

END = "\x03"
WORDS = re.findall(r"\w+", "the sea holds more salt than any other water that people have seen")
CALL = '<tool_call>{{"name": "get_weather", "arguments": {{"city": "{}"}}}}</tool_call>'


class Refusal(Exception):
    """An error status instead of a reply."""

    def __init__(self, status, message):
        super().__init__(status, message)
        self.response = Response(
            status, {}, json.dumps({"error": {"message": message, "code": status}}).encode()
        )


class Backend:
    """A model whose tokens are words, behind the endpoints that `routes` names.

    Args:
        routes: Paths that are there; `//` begins at the root.
        dialect: Where ids are: "vllm", "sglang", "nemo-rl", "llamacpp", "strings" or None.
        owner: What the list of models says.
        parser: Whether calls are parsed.
        calls: Whether the model makes any: True, "constrained" (only if its text is), or False.
        reasoning: The field for it; None if the model does not reason; "" leaves it in the text.
        mode: Of log-probabilities: "processed", "raw", "temperature", or None for none.
        context: Tokens; None does not say and does not mind.
        fixed: Whether temperature and top_p other than 1 are refused.
        drop_end: Whether ids lack the end token.
        rewrites: Whether the template changes calls that were made.
        hang: Paths that never answer.
        garbage: Path to what it answers, whatever is asked.
    """

    def __init__(
        self, *routes, dialect=None, owner="x", parser=True, calls=True, reasoning=None,
        mode="processed", context=400, fixed=False, drop_end=False, rewrites=False,
        hang=(), garbage=None,
    ):  # fmt: skip
        self.routes = routes
        self.dialect = dialect
        self.owner = owner
        self.parser = parser
        self.calls = calls
        self.reasoning = reasoning
        self.mode = mode
        self.context = context
        self.fixed = fixed
        self.drop_end = drop_end
        self.rewrites = rewrites
        self.hang = hang
        self.garbage = garbage or {}
        self.asked = []
        self.closed = False
        self._vocabulary = {END: 2}
        self._random = random.Random(0)

    async def send(self, method, path, body=None):
        self.asked.append(path)
        if path in self.hang:
            await asyncio.sleep(3600)
        if path in self.garbage:
            return Response(200, {}, self.garbage[path])
        if path not in self.routes:
            return Response(404, {}, b'{"detail": "Not Found"}')
        request = json.loads(body) if body else {}
        name = re.sub(r"\W+", "_", path.lstrip("/"))
        try:
            reply = getattr(self, f"do_{name}")(request)
        except Refusal as refusal:
            return refusal.response
        return Response(200, {}, reply if isinstance(reply, bytes) else json.dumps(reply).encode())

    async def close(self):
        self.closed = True

    # the model

    def encode(self, text):
        pieces = re.findall(r"<tool_call>.*?</tool_call>|\w+|\W", text)
        return [self._vocabulary.setdefault(piece, len(self._vocabulary) + 9) for piece in pieces]

    def decode(self, ids):
        words = {token: word for word, token in self._vocabulary.items()}
        return "".join(words[token] for token in ids)

    def render(self, messages, tools=None, generation=True):
        text = f"<tools>{json.dumps(tools)}" if tools else ""
        for message in messages:
            text += f"<{message['role']}>{message.get('content') or ''}"
            for call in message.get("tool_calls") or ():
                city = json.loads(call["function"]["arguments"])["city"]
                text += CALL.format(city) if not self.rewrites else f"[calls for {city}]"
            text += END
        return self.encode(text + "<assistant>" * generation)

    def say(self, request, prompt):
        """What the model would say, if nothing stopped it."""
        asked = self.decode(prompt)
        constraint = json.dumps(request.get("structured_outputs") or "")
        wanted = asked.count("get_weather") or request.get("tools")
        if request.get("response_format"):
            return '{"kind": "zebra7"}'
        if wanted and request.get("tools") and self.calls:
            cities = ["Paris", "Rome"] if "Rome" in asked else ["Paris"]
            if self.calls is True:
                return "".join(CALL.format(city) for city in cities)
            if self.calls == "constrained" and constraint != '""':
                return "".join(CALL.format("Paris") for _ in range(constraint.count("(Paris")))
        if "one word" in asked:
            return "yes"
        greedy = request.get("top_k") == 1 or request.get("top_p", 1) < 0.1
        seed = request.get("seed")
        rng = random.Random(0 if greedy else seed if seed is not None else self._random.random())
        said = " ".join(rng.choice(WORDS) for _ in range(40))
        return f"<think>{said}</think> {said}" if self.reasoning is not None else said

    def sample(self, request, prompt, limit):
        """Ids, log-probabilities and why they end."""
        if self.fixed and (request.get("temperature"), request.get("top_p")) != (1.0, 1.0):
            raise Refusal(500, "AssertionError: temperature and top_p are those of training")
        if self.context and len(prompt) >= self.context:
            raise Refusal(400, f"the maximum context length is {self.context} tokens")
        text = self.say(request, prompt)
        ends = [text.find(mark) for mark in request.get("stop") or () if mark in text]
        reason = "length"
        if ends:
            text, reason = text[: min(ends)], "stop"
        ids = self.encode(text) + [2] * (not ends)
        for token in request.get("stop_token_ids") or ():
            if token in ids:
                ids = ids[: ids.index(token) + 1]
                reason = "stop"
        ids = ids[:limit]
        if ids and ids[-1] == 2:
            reason = "stop"
        narrow = request.get("top_k") == 1 or request.get("top_p", 1) < 0.1
        hot = request.get("temperature", 1) > 1
        each = -0.7 * (2 if hot and self.mode == "temperature" else 1)
        if self.mode == "processed" and narrow:
            each = 0.0
        return ids, [each] * len(ids), reason

    # the endpoints

    def do_models(self, request):
        entry = {"id": "m", "owned_by": self.owner}
        if self.context:
            entry["max_model_len"] = self.context
        return {"object": "list", "data": [entry]}

    def do_chat_completions(self, request):
        if request.get("model") != "m":
            raise Refusal(404, f"The model {request.get('model')} does not exist")
        prompt = self.render(request["messages"], request.get("tools"))
        choices, count = [], 0
        for index in range(request.get("n", 1)):
            ids, scores, reason = self.sample(request, prompt, request["max_tokens"])
            count += len(ids)
            choices.append(self._choice(index, request, prompt, ids, scores, reason))
        reply = {"model": "m", "choices": choices}
        reply["usage"] = {"prompt_tokens": len(prompt), "completion_tokens": count}
        if self.dialect == "vllm" and request.get("return_token_ids"):
            reply["prompt_token_ids"] = prompt
        return self._events(reply, request) if request.get("stream") else reply

    def _choice(self, index, request, prompt, ids, scores, reason):
        shown = [token for token in ids if token != 2]
        text = self.decode(shown)
        message = {"role": "assistant", "content": text}
        calls = re.findall(r"<tool_call>(.*?)</tool_call>", text)
        if self.parser and request.get("tools") and calls:
            found = [json.loads(call) for call in calls]
            message["content"], reason = None, "tool_calls"
            message["tool_calls"] = [
                {
                    "id": f"call_{number}", "type": "function",
                    "function": {
                        "name": call["name"], "arguments": json.dumps(call["arguments"])
                    },
                }
                for number, call in enumerate(found)
            ]  # fmt: skip
        elif self.reasoning and text.startswith("<think>"):
            thought, _, rest = text.removeprefix("<think>").partition("</think>")
            message[self.reasoning], message["content"] = thought, rest
        choice = {"index": index, "message": message, "finish_reason": reason}
        kept = shown if self.drop_end else ids
        if request.get("logprobs") and self.mode:
            entries = [
                {"token": self.decode([token]), "logprob": score}
                for token, score in zip(kept, scores, strict=False)
            ]
            for entry, token in zip(entries, kept, strict=True):
                if self.dialect == "llamacpp":
                    entry["id"] = token
                if self.dialect == "strings" and request.get("return_tokens_as_token_ids"):
                    entry["token"] = f"token_id:{token}"
            choice["logprobs"] = {"content": entries}
        if self.dialect == "vllm" and request.get("return_token_ids"):
            choice["token_ids"] = kept
        if self.dialect == "sglang" and request.get("return_token_ids"):
            choice |= {"prompt_token_ids": prompt, "response_token_ids": kept}
        if self.dialect == "nemo-rl":
            message |= {"prompt_token_ids": prompt, "generation_token_ids": kept}
            message["generation_log_probs"] = scores[: len(kept)]
        return choice

    def _events(self, reply, request):
        (choice,) = reply["choices"]
        message = choice["message"]
        deltas = [{"content": word} for word in re.findall(r"\S+\s*", message["content"] or "")]
        if self.reasoning and message.get(self.reasoning):
            deltas.insert(0, {self.reasoning: message[self.reasoning]})
        for index, call in enumerate(message.get("tool_calls") or ()):
            function = call["function"]
            head = {"name": function["name"], "arguments": function["arguments"][:5]}
            deltas.append({"tool_calls": [{"index": index, "id": "c", "function": head}]})
            tail = {"arguments": function["arguments"][5:]}
            deltas.append({"tool_calls": [{"index": index, "function": tail}]})
        events = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
        last = {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}
        events.append({"choices": [last]})
        if (request.get("stream_options") or {}).get("include_usage"):
            events.append({"choices": [], "usage": reply["usage"]})
        lines = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
        return (lines + "data: [DONE]\n\n").encode()

    def do_tokenize(self, request):
        if "messages" not in request:
            return {"tokens": self.encode(request["content"])}
        generation = request["add_generation_prompt"]
        return {"tokens": self.render(request["messages"], request.get("tools"), generation)}

    def do_completions(self, request):
        prompt = request["prompt"]
        ids, scores, reason = self.sample(request, prompt, request["max_tokens"])
        choice = {"token_ids": ids, "prompt_token_ids": prompt, "finish_reason": reason}
        choice["logprobs"] = {"token_logprobs": scores}
        if request.get("prompt_logprobs") is not None:
            known = [{str(token): {"logprob": -1.0}} for token in prompt[1:]]
            choice["prompt_logprobs"] = [None, *known]
        return {"choices": [choice]}

    def do_inference_v1_generate(self, request):
        sampling = request["sampling_params"]
        ids, scores, reason = self.sample(sampling, request["token_ids"], sampling["max_tokens"])
        entries = [{"token_id": t, "logprob": s} for t, s in zip(ids, scores, strict=True)]
        choice = {"token_ids": ids, "logprobs": {"content": entries}, "finish_reason": reason}
        choice["weight_versions"] = [{"version": "7", "start": 0, "end": len(ids)}]
        return {"choices": [choice]}

    def do_generate(self, request):
        prompt, sampling = request["input_ids"], request["sampling_params"]
        ids, scores, reason = self.sample(sampling, prompt, sampling["max_new_tokens"])
        meta = {
            "output_token_logprobs": [[s, t, None] for t, s in zip(ids, scores, strict=True)],
            "finish_reason": {"type": reason},
            "weight_version": "v3",
        }
        if request.get("logprob_start_len") == 0:
            scores = [None] + [-1.0] * (len(prompt) - 1)
            meta["input_token_logprobs"] = [
                [s, t, None] for t, s in zip(prompt, scores, strict=True)
            ]
        return {"output_ids": ids, "meta_info": meta}

    def do_get_model_info(self, request):
        return {"weight_version": "v3"}


def vllm(**changes):
    routes = (
        "/models", "/chat/completions", "/completions", "//tokenize", "//inference/v1/generate"
    )  # fmt: skip
    return Backend(*routes, dialect="vllm", owner="vllm", **changes)


def sglang(**changes):
    routes = (
        "/models", "/chat/completions", "//generate", "//tokenize", "/tokenize", "//get_model_info"
    )  # fmt: skip
    settings = {"mode": "temperature", "reasoning": "reasoning_content", **changes}
    return Backend(*routes, dialect="sglang", owner="sglang", **settings)


def nemo_rl(**changes):
    routes = ("/chat/completions", "//tokenize")
    return Backend(*routes, dialect="nemo-rl", fixed=True, **changes)


def plain(**changes):
    """Chat and nothing else."""
    settings = {"calls": False, "mode": None, "context": None, **changes}
    return Backend("/chat/completions", **settings)


class Served:
    """A backend on a real socket."""

    def __init__(self, backend, *, api_key=None):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self._answer("POST")

            def do_GET(self):
                self._answer("GET")

            def log_message(self, *_):
                pass

            def _answer(self, method):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                known = api_key is None or self.headers.get("authorization") == f"Bearer {api_key}"
                below = self.path.startswith("/v1/")
                path = self.path.removeprefix("/v1") if below else f"/{self.path}"
                reply = asyncio.run(backend.send(method, path, body))
                status = reply.status if known else 401
                self.send_response(status)
                self.send_header("content-length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.root = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{self.root}/v1"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.02])
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

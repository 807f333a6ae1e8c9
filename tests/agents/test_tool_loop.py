import asyncio
import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from athlos import (
    ConfigError,
    EnvError,
    Environment,
    JudgeError,
    Message,
    Model,
    ModelError,
    Rollout,
    SandboxError,
    Task,
    ToolCall,
    ToolError,
    ToolLoop,
    reward,
    tool,
)
from athlos.agents import Agent
from athlos.testing import FakeTransport, call, fake_model, scripted
from athlos.types import FunctionCall


class Base(Environment):
    @reward
    def r(self, rollout):
        return 1.0


def drive(env, model, *, agent=None, task=None, **sampling):
    """Runs the agent alone, as an attempt does."""
    rollout = Rollout("id", "task", 0, "env", "model", messages=env.task.messages())
    asyncio.run((agent or ToolLoop()).run(env, model, rollout, sampling))
    return rollout


def made(env=Base, **task):
    return env(Task("Go.", **task))


def calls(*pairs):
    """An assistant message with several tool calls: name and arguments, as text or a mapping."""
    made = []
    for index, (name, arguments) in enumerate(pairs):
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        made.append(ToolCall(f"c{index}", FunctionCall(name, text)))
    return Message("assistant", tool_calls=made)


def wire(content=None, finish="stop", *, used=None, **message):
    """A reply as a server writes it."""
    return 200, {
        "choices": [
            {"message": {"role": "assistant", "content": content, **message},
             "finish_reason": finish}
        ],
        "usage": used and {"prompt_tokens": used[0], "completion_tokens": used[1]},
    }  # fmt: skip


def server(*replies):
    """A model whose server sends these replies, the last one for ever; and its transport."""
    sent = []

    def handler(method, path, request):
        sent.append(request)
        return replies[min(len(sent), len(replies)) - 1]

    transport = FakeTransport(handler)
    return Model(name="m", transport=transport), transport


def texts(rollout, role="tool"):
    return [m.text for m in rollout.messages if m.role == role]


def test_it_is_an_agent():
    agent: Agent = ToolLoop(max_turns=3)
    assert agent.settings() == {"name": "tool_loop", "max_turns": 3, "token_budget": None}


@pytest.mark.parametrize("options", [{"max_turns": 0}, {"max_turns": -1}, {"token_budget": 0}])
def test_limits_are_positive(options):
    with pytest.raises(ConfigError, match="must be at least 1"):
        ToolLoop(**options)


# -- ends ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["Four.", "", None])
def test_without_tools_and_reply_the_first_answer_ends_it(content):
    model, _ = server(wire(content))
    rollout = drive(made(), model)
    assert (rollout.status, rollout.stop_reason) == ("completed", "answered")
    assert (rollout.turns, rollout.answer) == (1, content or "")


@pytest.mark.parametrize("content", ["", None])
@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_alone_ends_it_also_where_a_reply_would_go_on(content, field):
    class Talkative(Base):
        def reply(self, message):
            return "Go on."

    model, _ = server(wire(content, **{field: "Hmm."}))
    rollout = drive(made(Talkative), model)
    assert (rollout.status, rollout.stop_reason) == ("completed", "reasoning_only")
    assert rollout.messages[-1].reasoning_content == "Hmm."
    assert rollout.answer == ""


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "max_tokens"), ("content_filter", "content_filter")]
)
def test_a_reply_that_was_cut_off_truncates_and_runs_no_tool(finish, reason):
    class E(Base):
        @tool
        def f(self):
            raise AssertionError("must not run")

    call_f = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    model, _ = server(wire("Half a", finish, tool_calls=call_f))
    rollout = drive(made(E), model)
    assert (rollout.status, rollout.stop_reason) == ("truncated", reason)
    assert (rollout.tool_calls, rollout.turns) == (0, 1)
    assert rollout.calls[0].finish_reason == finish


OVERFLOWS = {
    "openai": {
        "error": {
            "message": "This model's maximum context length is 4096 tokens. However, your messages "
            "resulted in 5000 tokens.",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "context_length_exceeded",
        }
    },
    "vllm": {
        "object": "error",
        "message": "This model's maximum context length is 4096 tokens. However, you requested "
        "5000 tokens in the messages. Please reduce the length of the messages.",
        "type": "BadRequestError",
        "code": 400,
    },
    "vllm nested": {
        "error": {
            "message": "The decoder prompt (length 5000) is longer than the maximum model length "
            "of 4096. Make sure that `max_model_len` is no smaller than the number of text tokens.",
            "type": "BadRequestError",
            "code": 400,
        }
    },
    "sglang": {
        "object": "error",
        "message": "The input (5000 tokens) is longer than the model's context length (4096 "
        "tokens).",
        "type": "BadRequestError",
        "code": 400,
    },
    "llama.cpp": {
        "error": {
            "code": 400,
            "message": "the request exceeds the available context size (4096 tokens), try "
            "increasing it",
            "type": "exceed_context_size_error",
        }
    },
    "text": b"Input is too long: it does not fit into the context window.",
}


@pytest.mark.parametrize("body", OVERFLOWS.values(), ids=OVERFLOWS)
def test_a_conversation_that_no_longer_fits_is_truncated_and_not_failed(body):
    class E(Base):
        def reply(self, message):
            return "more"

    model, transport = server(wire("a"), (400, body))
    rollout = drive(made(E), model)
    assert (rollout.status, rollout.stop_reason) == ("truncated", "context_overflow")
    assert (rollout.turns, len(rollout.calls), len(transport.requests)) == (1, 1, 2)


@pytest.mark.parametrize(
    ("used", "asked", "reason"),
    [(30, 30, "max_tokens"), (13, 30, "context_overflow"), (13, None, "max_tokens")],
)
def test_an_answer_cut_below_its_limit_met_the_end_of_the_context(used, asked, reason):
    model, _ = server(wire("a", "length", used=(1000, used)))
    limits = {} if asked is None else {"max_tokens": asked}
    assert drive(made(), model, **limits).stop_reason == reason


def test_what_the_server_said_of_an_overflow_is_on_the_record():
    model, _ = server((400, OVERFLOWS["text"]))
    assert "does not fit" in drive(made(), model).extra["context_overflow"]


def test_another_refusal_is_an_error_of_the_model():
    model, _ = server((400, {"error": {"message": "unknown field `min_p`"}}))
    with pytest.raises(ModelError, match="unknown field"):
        drive(made(), model)


def test_max_turns_counts_assistant_messages():
    class E(Base):
        def reply(self, message):
            return "again"

    rollout = drive(made(E), scripted("no"), agent=ToolLoop(max_turns=3))
    assert (rollout.status, rollout.stop_reason) == ("truncated", "max_turns")
    assert rollout.turns == len(rollout.calls) == 3
    assert rollout.messages[-1].text == "again"


def test_an_end_on_the_last_turn_is_no_truncation():
    rollout = drive(made(), scripted("yes"), agent=ToolLoop(max_turns=1))
    assert (rollout.status, rollout.stop_reason) == ("completed", "answered")


# -- token budget ----------------------------------------------------------------------------------


class Endless(Base):
    def reply(self, message):
        return "more"


def test_the_token_budget_lowers_max_tokens_and_ends_the_attempt():
    model, transport = server(wire("a", used=(10, 40)), wire("b", used=(20, 40)), wire("c"))
    rollout = drive(made(Endless), model, agent=ToolLoop(token_budget=80))
    assert [r["max_tokens"] for r in transport.requests] == [80, 40]
    assert (rollout.status, rollout.stop_reason) == ("truncated", "token_budget")
    assert (rollout.usage.prompt_tokens, rollout.usage.completion_tokens) == (30, 80)


def test_a_smaller_max_tokens_stays():
    model, transport = server(wire("a", used=(1, 40)), wire("b", used=(1, 10)))
    drive(made(Endless), model, agent=ToolLoop(token_budget=50), max_tokens=30)
    assert [r["max_tokens"] for r in transport.requests] == [30, 10]
    model, transport = server(wire("a", used=(1, 50)))
    model.sampling["max_tokens"] = 20
    drive(made(Endless), model, agent=ToolLoop(token_budget=50))
    assert transport.requests[0]["max_tokens"] == 20


@pytest.mark.parametrize(("used", "reason"), [(50, "token_budget"), (30, "max_tokens")])
def test_the_limit_that_cut_a_reply_off_is_named(used, reason):
    model, _ = server(wire("a", "length", used=(1, used)))
    rollout = drive(made(), model, agent=ToolLoop(token_budget=50), max_tokens=30)
    assert (rollout.status, rollout.stop_reason) == ("truncated", reason)


# -- tools -----------------------------------------------------------------------------------------


class Meeting(Base):
    """Its tools wait for each other, so they must run at the same time."""

    def setup(self):
        self.log = []
        self.running = self.most = 0

    @tool
    async def slow(self, name: str, turns: int = 3) -> str:
        self.running += 1
        self.most = max(self.most, self.running)
        self.log.append(f"begin {name}")
        for _ in range(turns):
            await asyncio.sleep(0)
        self.log.append(f"end {name}")
        self.running -= 1
        return name


class Queue(Meeting):
    parallel_tools = False


both = calls(("slow", {"name": "a", "turns": 9}), ("slow", {"name": "b", "turns": 1}))


def test_calls_of_one_turn_run_concurrently_and_are_answered_in_order():
    env = made(Meeting)
    env.setup()
    rollout = drive(env, scripted(both, "Done."))
    assert env.most == 2
    assert env.log == ["begin a", "begin b", "end b", "end a"]
    replies = [m for m in rollout.messages if m.role == "tool"]
    assert [(m.tool_call_id, m.text) for m in replies] == [("c0", "a"), ("c1", "b")]
    assert (rollout.tool_calls, rollout.tool_errors) == (2, 0)


def test_an_environment_may_ask_for_one_call_after_the_other():
    env = made(Queue)
    env.setup()
    rollout = drive(env, scripted(both, "Done."))
    assert env.most == 1
    assert env.log == ["begin a", "end a", "begin b", "end b"]
    assert texts(rollout) == ["a", "b"]


class Many(Base):
    @tool
    def add(self, a: int, b: int = 1) -> int:
        return a + b

    @tool
    def say(self, what: str) -> str:
        return what

    @tool
    def table(self) -> dict[str, list[int]]:
        return {"x": [1, 2]}

    @tool
    def nothing(self): ...

    @tool
    def refuse(self):
        raise ToolError("not now")

    @tool
    def crash(self):
        raise KeyError("x")

    @tool
    def leave(self):
        raise SystemExit(3)

    @tool
    def broken(self):
        return object()

    @tool
    async def judged(self):
        raise JudgeError("no verdict")

    @tool
    async def boxed(self):
        raise SandboxError("gone")

    @tool(timeout=0.01)
    async def slow(self):
        await asyncio.sleep(3600)

    @tool(timeout=60)
    async def own(self):
        raise TimeoutError("the page did not load")

    @tool
    def surrogate(self) -> str:
        return "a\ud800b"

    def secret(self):
        raise AssertionError("not a tool")


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("add", {"a": 2}, "3"),
        ("say", {"what": "hi"}, "hi"),
        ("table", "", '{"x":[1,2]}'),
        ("nothing", {}, "null"),
        ("surrogate", {}, "a?b"),
    ],
)
def test_text_is_a_reply_as_it_is_and_the_rest_as_json(name, arguments, expected):
    rollout = drive(made(Many), scripted(calls((name, arguments)), "Done."))
    assert texts(rollout) == [expected]
    assert (rollout.tool_calls, rollout.tool_errors) == (1, 0)
    assert rollout.stop_reason == "answered"


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("add", {"a": "many"}, "Error: Invalid arguments for add: 'a': expected 'int', got 'str'."),
        ("add", "{", "Error: The arguments of add are not valid JSON"),
        ("sub", {}, "Error: there is no tool named 'sub'. The tools are: add, say"),
        ("secret", {}, "Error: there is no tool named 'secret'."),
        ("__init__", {}, "Error: there is no tool named '__init__'."),
        ("teardown", {}, "Error: there is no tool named 'teardown'."),
        ("", {}, "Error: there is no tool named ''."),
        ("x" * 9999, {}, "Error: there is no tool named 'xxx"),
        ("refuse", {}, "Error: not now"),
        ("crash", {}, "Error: KeyError: 'x'"),
        ("leave", {}, "Error: SystemExit: 3"),
        ("slow", {}, "Error: slow took longer than 0.01 s"),
        ("own", {}, "Error: TimeoutError: the page did not load"),
    ],
)
@pytest.mark.parametrize("beside", [[], [("say", {"what": "hi"})]], ids=["alone", "beside"])
def test_what_goes_wrong_in_a_call_is_said_to_the_model(name, arguments, expected, beside):
    rollout = drive(made(Many), scripted(calls((name, arguments), *beside), "Sorry."))
    assert texts(rollout)[0].startswith(expected)
    assert len(texts(rollout)[0]) < 400
    assert texts(rollout)[1:] == ["hi" for _ in beside]
    assert (rollout.tool_calls, rollout.tool_errors) == (1 + len(beside), 1)
    assert (rollout.status, rollout.answer) == ("completed", "Sorry.")


@pytest.mark.parametrize(
    ("name", "error"), [("judged", JudgeError), ("boxed", SandboxError), ("broken", EnvError)]
)
@pytest.mark.parametrize("beside", [[], [("say", {"what": "hi"})]], ids=["alone", "beside"])
def test_what_the_model_cannot_mend_ends_the_attempt(name, error, beside):
    with pytest.raises(error):
        drive(made(Many), scripted(calls(*beside, (name, {}))))


def test_a_task_offers_its_own_tools_only():
    env = made(Many, tools=["say"])
    model, transport = server(wire("a"))
    drive(env, model)
    (offered,) = transport.requests[0]["tools"]
    assert offered == Many.tools["say"].wire
    rollout = drive(env, scripted(call("add", a=1), "Done."))
    assert texts(rollout) == ["Error: there is no tool named 'add'. The tools are: say."]


def test_without_tools_none_are_sent_and_a_call_is_answered():
    model, transport = server(wire("a"))
    drive(made(), model)
    assert "tools" not in transport.requests[0]
    rollout = drive(made(), scripted(call("add"), "Done."))
    assert texts(rollout) == ["Error: there is no tool named 'add'. There are no tools."]


def test_done_in_a_tool_ends_it_after_all_calls_of_the_turn():
    class E(Many):
        @tool
        def finish(self) -> str:
            self.done = True
            return "over"

    rollout = drive(made(E), scripted(calls(("finish", {}), ("say", {"what": "hi"}))))
    assert texts(rollout) == ["over", "hi"]
    assert (rollout.stop_reason, rollout.turns) == ("environment", 1)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.text(max_size=8) | st.sampled_from(["add", "say"]), st.text())))
def test_whatever_the_model_calls_each_call_has_one_answer(pairs):
    message = calls(*pairs)
    rollout = drive(made(Many), fake_model(lambda m: "Done." if len(m) > 1 else message))
    replies = [m.tool_call_id for m in rollout.messages if m.role == "tool"]
    assert replies == [call.id for call in message.tool_calls]
    assert rollout.tool_calls == len(pairs)
    msgspec.json.encode(rollout)


# -- reply -----------------------------------------------------------------------------------------


def replying(*turns):
    """An environment that says these things, one a turn; what can be raised is raised."""

    class E(Base):
        def setup(self):
            self.turn = -1

        async def reply(self, message):
            self.turn += 1
            if isinstance(turns[self.turn], BaseException):
                raise turns[self.turn]
            return turns[self.turn]

    env = made(E)
    env.setup()
    return env


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        ("text", [Message("user", "text")]),
        ("", [Message("user", "")]),
        ("a\ud800b", [Message("user", "a?b")]),
        (Message("system", "m"), [Message("system", "m")]),
        ([Message("user", "a"), Message("tool")], [Message("user", "a"), Message("tool")]),
    ],
)
def test_a_reply_goes_on_with_text_or_messages(turn, expected):
    rollout = drive(replying(turn, None), scripted("one", "two"))
    assert rollout.messages[2:-1] == expected
    assert (rollout.turns, rollout.stop_reason) == (2, "environment")


@pytest.mark.parametrize("turn", [None, []])
def test_a_reply_of_nothing_ends_it(turn):
    rollout = drive(replying(turn), scripted("one"))
    assert (rollout.status, rollout.stop_reason, rollout.turns) == ("completed", "environment", 1)


@pytest.mark.parametrize("turn", [5, True, {"role": "user"}, ("a",), ["a"], b"a", [None]])
def test_a_reply_of_another_kind_is_a_fault_of_the_environment(turn):
    with pytest.raises(EnvError, match=r"reply\(\) returned (int|bool|dict|tuple|list|bytes); it"):
        drive(replying(turn), scripted("one"))


@pytest.mark.parametrize(
    "error", [ValueError("x"), ToolError("x"), SystemExit("x"), TimeoutError("x")]
)
def test_a_reply_that_raises_is_a_fault_of_the_environment(error):
    with pytest.raises(EnvError, match=f"{type(error).__name__}: x"):
        drive(replying(error), scripted("one"))


def test_a_failed_judge_in_a_reply_stays_a_failed_judge():
    with pytest.raises(JudgeError):
        drive(replying(JudgeError("x")), scripted("one"))


@pytest.mark.parametrize("content", ["a\ud800b", [{"type": "text", "text": object()}]])
def test_a_message_that_cannot_be_sent_is_a_fault_of_the_environment(content):
    with pytest.raises(EnvError, match="cannot be written as JSON"):
        drive(replying(Message("user", content)), scripted("one"))


def test_done_in_a_reply_keeps_what_it_said():
    class E(Base):
        def reply(self, message):
            self.done = True
            return "Goodbye."

    rollout = drive(made(E), scripted("one"))
    assert (rollout.messages[-1].text, rollout.stop_reason) == ("Goodbye.", "environment")


# -- the record ------------------------------------------------------------------------------------


def test_a_call_knows_which_messages_were_its_prompt():
    model, transport = server(
        wire(None, "tool_calls", used=(7, 3),
             tool_calls=[{"id": "c", "function": {"name": "say", "arguments": '{"what": "hi"}'}}]),
        wire("Done.", used=(12, 4)),
    )  # fmt: skip
    rollout = drive(made(Many), model)
    assert [c.prompt_messages for c in rollout.calls] == [1, 3]
    assert [len(r["messages"]) for r in transport.requests] == [1, 3]
    assert [c.finish_reason for c in rollout.calls] == ["tool_calls", "stop"]
    assert [c.usage.completion_tokens for c in rollout.calls] == [3, 4]
    assert (rollout.usage.prompt_tokens, rollout.usage.completion_tokens) == (19, 7)


def test_token_ids_and_logprobs_are_kept_where_the_server_sends_them():
    status, reply = wire("a")
    reply["prompt_token_ids"] = [1, 2]
    reply["choices"][0] |= {"token_ids": [3], "logprobs": {"content": [{"logprob": -0.5}]}}
    model, _ = server((status, reply))
    (made_call,) = drive(made(), model).calls
    assert made_call.prompt_token_ids == [1, 2]
    assert (made_call.token_ids, made_call.logprobs) == ([3], [-0.5])


def test_sampling_parameters_go_to_every_call():
    model, transport = server(wire("a"), wire("b"))
    drive(made(Endless), model, agent=ToolLoop(max_turns=2), temperature=0.3, top_k=5)
    assert [(r["temperature"], r["top_k"]) for r in transport.requests] == [(0.3, 5)] * 2

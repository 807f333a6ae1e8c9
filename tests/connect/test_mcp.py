"""Tools of MCP servers: with a server of the protocol's own SDK, and with one that misbehaves."""

import asyncio
import json
import os
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.connect.playing import play
from tests.connect.test_openenv import serve
from tests.serve.helpers import ROW, Caller, answered, said, serving

from athlos import ConfigError, Rollout, Task, ToolError, reward, tool
from athlos.testing import call, scripted

pytest.importorskip("mcp")

from athlos.connect import mcp_server, mcp_stdio
from athlos.connect.http_server import ServerError
from athlos.connect.mcp import Http, McpEnvironment, McpServer, Stdio

SERVERS = Path(__file__).with_name("mcp_servers")
NOTES = Stdio(command=[sys.executable, str(SERVERS / "notes.py")])


def unruly(mode="", **options):
    command = [sys.executable, "-I", "-S", str(SERVERS / "unruly.py"), mode]
    return Stdio(command=command, **options)


class Unruly(McpEnvironment):
    """Has the tools of a server that misbehaves."""

    name = "unruly"
    source = unruly()

    @classmethod
    def tasks(cls, config, split):
        for number in range(3):
            yield Task(f"Go {number}.")

    def servers(self):
        return [self.source]

    @reward
    def went(self, rollout: Rollout) -> float:
        return float(rollout.tool_errors == 0)


def told(rollout):
    """What the model was told by tools."""
    return [message.text for message in rollout.messages if message.role == "tool"]


def with_server(main, source=None):
    async def opened():
        async with McpServer(source or unruly()) as server:
            return await main(server)

    return asyncio.run(opened())


def is_gone(pid):
    """Whether a process has ended; one that was killed may take a moment."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state in "ZX":
            return True
        time.sleep(0.01)
    return False


def supervisors():
    """Processes of ours that watch a server."""
    with open(f"/proc/{os.getpid()}/task/{os.getpid()}/children") as file:
        pids = file.read().split()
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids]
    return [line for line in lines if b"supervisor.py" in line]


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    assert supervisors() == []


# With the SDK's own server


def test_the_tools_of_a_program_are_played():
    class Notes(McpEnvironment):
        @classmethod
        def tasks(cls, config, split):
            yield Task("Keep three texts.")

        def servers(self):
            return [NOTES]

        @tool
        def own(self) -> str:
            """A tool of the environment's."""
            return "mine"

        @reward
        async def kept(self, rollout: Rollout) -> float:
            return float(await self.call_mcp("keep", {"text": "", "times": 0}))

    model = scripted(
        call("keep", text="a", times=2), call("own"), call("keep", times="x"), call("parts"),
        call("keep", text="b"), "Done.",
    )  # fmt: skip
    rollouts, failures = play(Notes, model, samples=2)
    assert failures == []
    assert [rollout.reward for rollout in rollouts] == [3.0, 3.0]  # each has its own server
    for rollout in rollouts:
        first, own, wrong, parts, last = told(rollout)
        assert (first, own, parts, last) == ("2", "mine", "one\ntwo", "3")
        assert wrong.startswith("Error: ") and "text" in wrong
        assert rollout.tool_errors == 1


def test_a_server_by_url_needs_its_token(monkeypatch):
    from tests.connect.mcp_servers.notes import app

    inner = app.streamable_http_app()

    async def guarded(scope, receive, send):
        headers = dict(scope.get("headers", ()))
        if scope["type"] == "http" and headers.get(b"authorization") != b"Bearer open":
            start = {"type": "http.response.start", "status": 401, "headers": []}
            await send(start)
            await send({"type": "http.response.body", "body": b""})
            return
        await inner(scope, receive, send)

    async def main():
        async with McpServer(Http(url=url, api_key_env="NOTES_TOKEN")) as server:
            counts = [int(await server.call("keep", {"text": "a"})) for _ in "ab"]
            stop()
            with pytest.raises(ServerError) as died:
                await server.call("keep", {"text": "a"})
            with pytest.raises(ServerError):
                await server.open()
        return counts, list(server.tools), died.value

    async def unlocked():
        async with McpServer(Http(url=url)):
            pass

    port, stop = serve(guarded)
    url = f"http://127.0.0.1:{port}/mcp"
    try:
        with pytest.raises(ConfigError, match="NOTES_TOKEN"):
            asyncio.run(main())
        with pytest.raises(ServerError, match="the MCP server at http"):
            asyncio.run(unlocked())
        monkeypatch.setenv("NOTES_TOKEN", "open")
        counts, names, died = asyncio.run(main())
    finally:
        stop()
    assert counts[1] == counts[0] + 1
    assert names == ["keep", "parts"]
    assert died.retryable and died.failure_class == "environment_error"


def test_the_tools_of_one_served_environment_are_another_ones(monkeypatch):
    async def main():
        async with serving("counter") as server:
            begun = await Caller(server).post("/seed_session", ROW)
            monkeypatch.setenv("SESSION", begun.headers["athlos-session"])
            source = Http(url=f"{server.url}/mcp", api_key_env="SESSION", prefix="there_")
            async with McpServer(source) as there:
                texts = [await there.call("there_add", {"amount": 5})]
                with pytest.raises(ToolError, match="Usage: add"):
                    await there.call("there_add", {"amount": "x"})
            body = {**ROW, "response": answered(said("done"))}
            scored = await Caller(server).post("/verify", body, begun.session)
            return texts, there.tools, scored.json["reward"]

    texts, tools, scored = asyncio.run(main())
    assert (texts, list(tools), scored) == (["5"], ["there_add"], 1.0)


def test_an_environment_with_a_server_is_served():
    async def main():
        async with serving(Unruly) as server:
            ask = Caller(server)
            begun = await ask.post("/seed_session", ROW)
            posted = await ask.post("/echo", {"side": "left"}, begun.session)
            message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
            message["params"] = {"name": "fail", "arguments": {}}
            called = await ask.post("/mcp", message, begun.session)
            died = await ask.post("/die", {}, begun.session)
            return posted.text, called.json["result"], died

    posted, called, died = asyncio.run(main())
    assert posted == '{"side": "left"}'
    assert (called["isError"], called["content"][0]["text"]) == (True, "Error: not today")
    assert (died.status, died.code) == (500, "environment_error")


# What a server says


def test_schemas_are_passed_on_as_they_are():
    async def main(server):
        return server.tools

    tools = with_server(main)
    assert list(tools)[0:2] == ["echo", "pid"] and len(tools) == 13  # two pages
    function = tools["echo"].wire["function"]
    assert function["description"] == "Do echo."
    assert function["parameters"]["x-own"] is True
    assert function["parameters"]["properties"]["side"] == {"$ref": "#/$defs/Side"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("echo", '{"side": "left"}'),
        ("mixed", "one\n[image, image/png]\ninside\n[file:///b]"),
        ("structured", '{"a":1}'),
    ],
)
def test_what_a_tool_says_is_text(name, text):
    assert with_server(lambda server: server.call(name, {"side": "left"})) == text


@pytest.mark.parametrize(
    ("name", "said", "seconds"),
    [
        ("fail", "not today", 60.0),
        ("refuse", "it is refuse", 60.0),
        ("slow", "took longer than 0.3 s", 0.3),
    ],
)
def test_what_the_model_can_mend_is_told_to_it(name, said, seconds):
    async def main(server):
        with pytest.raises(ToolError, match=said):
            await server.call(name, {})
        await server.open()
        return server._program.ended

    assert with_server(main, unruly(timeout=seconds)) is False


# What a server does


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("die", "Connection closed; it ended with exit code 3; out of coffee"),
        ("broken", "it is broken"),
        ("hang", "it did not answer within 0.3 s"),
    ],
)
def test_a_server_that_fails_is_a_failure_and_no_reward(name, said, monkeypatch):
    monkeypatch.setattr(mcp_server, "_ALIVE", 0.2)
    monkeypatch.setattr(mcp_stdio, "_LEAVE", 0.1)

    class Fails(Unruly):
        source = unruly(timeout=0.3 if name == "hang" else 60.0)

    rollouts, failures = play(Fails, scripted(call(name), "Done."), limit=1)
    assert rollouts == []
    [failure] = failures
    assert (failure.failure_class, failure.retryable) == ("environment_error", True)
    assert said in failure.message


def test_a_server_that_died_is_started_again_for_the_next_attempt():
    class Shared(Unruly):
        @classmethod
        @asynccontextmanager
        async def shared(cls, config):
            async with McpServer(unruly()) as server:
                yield server

        def servers(self):
            return [self.shared]

    def go(messages):
        calls = [call("pid"), "Done."]
        if messages[0].text == "Go 1.":
            calls = [call("pid"), call("die"), "Done."]
        return calls[sum(message.role == "tool" for message in messages)]

    from athlos.testing import fake_model

    rollouts, failures = play(Shared, fake_model(go), concurrency=1)
    pids = {rollout.task_id: told(rollout)[0] for rollout in rollouts}
    assert len(rollouts) == 2 and len(failures) == 1
    assert len(set(pids.values())) == 2
    assert told_by(failures[0]) == rollouts[0].messages[-2].text
    assert all(is_gone(pid) for pid in pids.values())


def told_by(failure):
    return next(message.text for message in failure.messages if message.role == "tool")


def test_a_shared_server_is_one_for_all():
    class Shared(Unruly):
        @classmethod
        @asynccontextmanager
        async def shared(cls, config):
            async with McpServer(unruly()) as server:
                yield server

        def servers(self):
            return [self.shared]

    rollouts, _ = play(Shared, scripted(call("pid"), "Done."), samples=4)
    assert len(rollouts) == 12
    assert len({told(rollout)[0] for rollout in rollouts}) == 1


def test_a_program_has_none_of_our_secrets(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("WANTED", "yes")

    async def main(server):
        return json.loads(await server.call("environ", {}))

    found = with_server(main, unruly(env={"MODE": "a"}, pass_env=("WANTED",)))
    assert "sk-secret" not in str(found)
    assert (found["WANTED"], found["MODE"], found["PATH"]) == ("yes", "a", os.environ["PATH"])
    assert set(found) <= {*mcp_stdio._KEPT, "WANTED", "MODE", "LC_CTYPE"}


def test_what_a_server_says_at_its_end_has_no_secrets():
    async def main(server):
        with pytest.raises(ServerError) as died:
            await server.call("die", {})
        return died.value.message

    said = with_server(main, unruly(env={"WORD": "out of coffee"}))
    assert said.endswith("it ended with exit code 3; [secret]")


def test_arguments_that_cannot_be_sent_are_the_models_mistake():
    deep = []
    for _ in range(300):
        deep = [deep]

    async def main(server):
        with pytest.raises(ToolError, match="more than 100 levels"):
            await server.call("echo", {"side": deep})
        return await server.call("echo", {"side": [[1]]})

    assert with_server(main) == '{"side": [[1]]}'


def test_nothing_is_left_of_what_a_program_started():
    async def main(server):
        return [await server.call(name, {}) for name in ("pid", "child")]

    assert all(is_gone(pid) for pid in with_server(main))


@pytest.mark.parametrize("mode", ["", "stubborn"])
def test_nothing_is_left_of_an_attempt_that_was_given_up(mode, monkeypatch):
    monkeypatch.setattr(mcp_stdio, "_LEAVE", 0.1)
    pids = []

    class Waits(Unruly):
        source = unruly(mode)

        async def setup(self):
            await super().setup()
            pids.append(await self.call_mcp("pid", {}))

    rollouts, failures = play(Waits, scripted(call("hang"), "Done."), limit=1, deadline=1.0)
    assert (rollouts, failures[0].failure_class) == ([], "timeout")
    assert all(is_gone(pid) for pid in pids)  # none, if it took long to start


def test_servers_end_whatever_an_authors_methods_do():
    pids = []

    class Careless(Unruly):
        async def setup(self):
            await super().setup()
            pids.append(await self.call_mcp("pid", {}))
            if self.task.prompt == "Go 1.":
                raise RuntimeError("setup failed")

        def teardown(self):
            raise RuntimeError("teardown failed")

    rollouts, failures = play(Careless, scripted("Done."), limit=2)
    assert rollouts == []
    assert sorted(failure.message for failure in failures) == [
        "setup() raised RuntimeError: setup failed",
        "teardown() raised RuntimeError: teardown failed",
    ]
    assert len(pids) == 2 and all(is_gone(pid) for pid in pids)


def test_a_program_that_ends_with_us_is_not_left(tmp_path):
    source = f"""
import asyncio, os, sys
from athlos.connect.mcp import McpServer, Stdio
async def main():
    server = McpServer(Stdio(command={unruly("stubborn").command!r}))
    await server.open()
    print(await server.call("pid", {{}}), await server.call("child", {{}}), flush=True)
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""
    import subprocess

    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    pids = done.stdout.split()
    assert len(pids) == 2 and all(is_gone(pid) for pid in pids)


# How it begins


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("mute", "it did not say what its tools are within 0.3 s"),
        ("crash", "it ended with exit code 1; no coffee"),
    ],
)
def test_a_server_that_does_not_begin_is_a_failure(mode, said, monkeypatch):
    monkeypatch.setattr(mcp_stdio, "_LEAVE", 0.1)

    class Fails(Unruly):
        source = unruly(mode, start=0.3 if mode == "mute" else 60.0)

    rollouts, [failure] = play(Fails, scripted("Done."), limit=1)
    assert (rollouts, failure.failure_class) == ([], "environment_error")
    assert said in failure.message


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (Stdio(command=["no-such-program-here"]), "there is no program 'no-such-program-here'"),
        (unruly(pass_env=("NOT_SET_ANYWHERE",)), "NOT_SET_ANYWHERE"),
        (unruly(cwd="/no/such/folder"), "cannot be started"),
        (Http(url="http://127.0.0.1:1/mcp", api_key_env="NOT_SET_ANYWHERE"), "NOT_SET_ANYWHERE"),
    ],
)
def test_a_mistake_of_the_authors_is_said(source, said):
    with pytest.raises(ConfigError, match=said):
        asyncio.run(McpServer(source).open())


def test_a_server_that_is_not_there_is_a_failure():
    with pytest.raises(ServerError, match=r"the MCP server at http://127.0.0.1:1/mcp"):
        asyncio.run(McpServer(Http(url="http://127.0.0.1:1/mcp")).open())


def test_two_tools_of_a_name_are_a_mistake():
    class Twice(Unruly):
        def servers(self):
            return [unruly(), self.other]

        other = unruly()

    class Prefixed(Twice):
        other = unruly(prefix="b_")

    _, failures = play(Twice, scripted("Done."), limit=1)
    assert failures[0].failure_class == "config_error"
    assert "has a tool 'echo', and so has the MCP server" in failures[0].message
    [rollout], _ = play(Prefixed, scripted(call("b_fail"), call("echo"), "Done."), limit=1)
    assert told(rollout) == ["Error: not today", "{}"]


def test_a_setup_that_forgets_the_servers_is_told():
    class Forgets(Unruly):
        def setup(self):
            self.mine = 1

    _, [failure] = play(Forgets, scripted("Done."), limit=1)
    assert failure.message == "Forgets: the MCP servers were not started"


def test_a_task_may_offer_some_of_the_tools():
    class Few(Unruly):
        async def setup(self):
            await super().setup()
            offered = ["echo"] if self.task.prompt == "Go 0." else ["nothing"]
            self.task = replace_tools(self.task, offered)

    rollouts, failures = play(Few, scripted(call("pid"), "Done."), limit=2)
    assert told(rollouts[0]) == ["Error: there is no tool named 'pid'. The tools are: echo."]
    assert failures[0].message == "the task offers a tool 'nothing', which there is not"


def replace_tools(task, names):
    import msgspec

    return msgspec.structs.replace(task, tools=names)


def test_an_attempt_travels_to_a_worker_without_its_servers():
    async def main():
        env = Unruly(Task("Go."))
        await env.setup()
        try:
            return set(env.__getstate__())
        finally:
            await env.teardown()

    assert asyncio.run(main()).isdisjoint({"_own", "_by_tool"})


def test_calls_of_one_server_go_on_at_once():
    async def main(server):
        late = asyncio.ensure_future(server.call("slow", {}))
        calls = (server.call("echo", {"n": number}) for number in range(50))
        texts = await asyncio.gather(*calls)
        under_way = not late.done()
        late.cancel()
        await asyncio.wait((late,))
        return texts, under_way, await server.call("echo", {})

    texts, under_way, after = with_server(main)
    assert [json.loads(text)["n"] for text in texts] == list(range(50))
    assert under_way and after == "{}"

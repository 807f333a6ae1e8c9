"""The tools of a session over MCP, for the protocol's own client and for others."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from tests.serve.helpers import ROW, Caller, answered, said, serving

from athlos import Environment, JudgeError, Rollout, Task, ToolError, reward, tool
from athlos.connect.declared import DeclaredTool

mcp = pytest.importorskip("mcp")
httpx2 = pytest.importorskip("httpx2")


class Notes(Environment):
    """Keeps what it is told."""

    name = "notes"
    parallel_tools = False

    def setup(self):
        self.notes = []

    def offered_tools(self):
        late = DeclaredTool("late", "run_late", parameters={"type": "object", "properties": {}})
        return {**super().offered_tools(), "late": late}

    async def run_late(self, name, arguments):
        return f"{name} {json.dumps(arguments)}"

    @tool
    async def keep(self, text: str, times: int = 1) -> dict[str, int]:
        """Keep a text."""
        self.notes += [text] * times
        return {"kept": len(self.notes)}

    @tool
    def refuse(self) -> str:
        """Refuse."""
        raise ToolError("not today")

    @tool
    def judge(self) -> str:
        """Fail."""
        raise JudgeError("the judge is away")

    @tool
    async def wait(self) -> str:
        """Wait."""
        await asyncio.sleep(300)
        return "late"

    @tool
    def finish(self) -> str:
        """Finish."""
        self.done = True
        return "finished"

    @reward
    def kept(self, rollout: Rollout) -> float:
        return float(len(self.notes))


def message(method="tools/list", **params):
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}


def run(main, *environments, **options):
    async def all_of_it():
        async with serving(*(environments or (Notes,)), **options) as server:
            return await main(server, Caller(server))

    return asyncio.run(all_of_it())


def bearer(begun):
    return {"authorization": f"Bearer {begun.headers['athlos-session']}"}


@asynccontextmanager
async def client(url, headers):
    """The protocol's own client."""
    from mcp.client.streamable_http import streamable_http_client

    async with (
        httpx2.AsyncClient(headers=headers) as http,
        mcp.Client(streamable_http_client(url, http_client=http)) as opened,
    ):
        yield opened


async def score(ask, begun, prefix=""):
    body = {**ROW, "response": answered(said("done"))}
    return await ask.post(f"{prefix}/verify", body, begun.session)


def test_a_client_lists_tools_and_calls_them_with_the_token_of_its_session():
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        async with client(f"{server.url}/mcp", bearer(begun)) as opened:
            tools = (await opened.list_tools()).tools
            results = [
                await opened.call_tool("keep", {"text": "a", "times": 2}),
                await opened.call_tool("keep", {"text": "b"}),
                await opened.call_tool("late", {"any": [1]}),
            ]
        return tools, results, (await score(ask, begun)).json, len(server.sessions)

    tools, results, scored, left = run(main)
    assert [each.name for each in tools] == [
        "keep", "refuse", "judge", "wait", "finish", "late",
    ]  # fmt: skip
    assert tools[0].description == "Keep a text."
    assert tools[0].input_schema == Notes.tools["keep"].wire["function"]["parameters"]
    texts = [result.content[0].text for result in results]
    assert texts == ['{"kept":2}', '{"kept":3}', 'late {"any": [1]}']
    assert not any(result.is_error for result in results)
    assert (scored["reward"], scored["stop_reason"]) == (3.0, "answered")
    assert left == 0


CALLS = [
    ("keep", {"text": "a"}, False),
    ("keep", {"text": 3, "other": 1}, True),
    ("keep", {"text": "a", "times": "many"}, True),
    ("keep", [], True),
    ("refuse", {}, True),
    ("nothing", {}, True),
    ("__init__", {}, True),
    ("setup", {}, True),
    ("late", {"any": [1]}, False),
]


def test_a_call_is_the_same_as_by_post():
    async def main(server, ask):
        one, other = [await ask.post("/seed_session", ROW) for _ in "ab"]
        posted, called = [], []
        for name, arguments, _ in CALLS:
            posted.append((await ask.post(f"/{name}", arguments, one.session)).text)
            sent = message("tools/call", name=name, arguments=arguments)
            called.append((await ask.post("/mcp", sent, **bearer(other))).json["result"])
        rewards = [(await score(ask, begun)).json["reward"] for begun in (one, other)]
        return posted, called, rewards

    posted, called, rewards = run(main)
    assert [result["isError"] for result in called] == [failed for _, _, failed in CALLS]
    assert [result["content"][0]["text"] for result in called] == posted
    assert rewards == [1.0, 1.0]


def test_a_name_is_no_path():
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        names = ("../verify", "/verify", "verify", "close", "seed_session", "mcp", "", "a" * 5000)
        calls = [message("tools/call", name=name, arguments=ROW) for name in names]
        found = [(await ask.post("/mcp", call, **bearer(begun))).json["result"] for call in calls]
        return found, (await score(ask, begun)).status

    found, scored = run(main)
    assert all("there is no tool named" in result["content"][0]["text"] for result in found)
    assert scored == 200


@pytest.mark.parametrize("headers", [{"authorization": ""}, {"authorization": "Bearer wrong"}])
def test_without_a_token_there_is_nothing(headers):
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        return [
            (await ask.post("/mcp", message(), begun.session, **headers)).status,
            (await ask("GET", "/mcp", None, **headers)).status,
        ]

    assert run(main) == [401, 401]


def test_the_token_of_a_session_opens_its_tools_and_nothing_else():
    async def main(server, ask):
        one, other = [await ask.post("/seed_session", ROW) for _ in "ab"]
        keep = message("tools/call", name="keep", arguments={"text": "a"})
        await ask.post("/mcp", keep, other.session, **bearer(one))
        paths = [key for key in server._app.routes if key[1] not in ("/health", "/mcp")]
        refused = {(await ask(*key, **{**one.session, **bearer(one)})).status for key in paths}
        return refused, [(await score(ask, begun)).json["reward"] for begun in (one, other)]

    refused, rewards = run(main)
    assert refused == {401}
    assert rewards == [1.0, 0.0]  # the token counts, whatever session a header names


def test_the_servers_token_opens_the_session_that_is_named():
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        keep = message("tools/call", name="keep", arguments={"text": "a"})
        await ask.post("/mcp", keep, begun.session)
        await ask.post("/mcp", keep, cookie=begun.headers["set-cookie"].partition(";")[0])
        none = await ask.post("/mcp", keep)
        return none, (await score(ask, begun)).json["reward"]

    none, kept = run(main)
    assert (none.status, none.json["error"]["data"]["code"]) == (404, "no_session")
    assert kept == 2.0


def test_without_authentication_the_session_still_is_a_token():
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        return [
            (await ask.post("/mcp", message(), **bearer(begun))).status,
            (await ask.post("/mcp", message(), begun.session)).status,
            (await ask.post("/mcp", message(), host="evil.example", **bearer(begun))).status,
        ]

    assert run(main, token=None) == [200, 200, 403]


def test_each_environment_has_its_own():
    async def main(server, ask):
        begun = await ask.post("/notes/seed_session", ROW)
        there = await ask.post("/notes/mcp", message(), **bearer(begun))
        elsewhere = await ask.post("/counter/mcp", message(), **bearer(begun))
        return there, elsewhere.status

    there, elsewhere = run(main, Notes, "counter")
    assert "keep" in [each["name"] for each in there.json["result"]["tools"]]
    assert elsewhere == 401


def test_only_the_tools_of_the_task_are_there():
    class Few(Notes):
        name = "few"

        def setup(self):
            super().setup()
            self.task = Task("Hi.", tools=["refuse"])

        def offered_tools(self):
            return Environment.offered_tools(self)

    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        listed = await ask.post("/mcp", message(), **bearer(begun))
        keep = message("tools/call", name="keep", arguments={"text": "a"})
        return listed, await ask.post("/mcp", keep, **bearer(begun))

    listed, called = run(main, Few)
    assert [each["name"] for each in listed.json["result"]["tools"]] == ["refuse"]
    assert "there is no tool named 'keep'" in called.json["result"]["content"][0]["text"]


def test_what_the_model_cannot_mend_is_a_failure_and_no_reward():
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        called = await ask.post("/mcp", message("tools/call", name="judge"), **bearer(begun))
        again = await ask.post("/mcp", message("tools/call", name="refuse"), **bearer(begun))
        return called, again, await score(ask, begun), len(server.sessions)

    called, again, scored, left = run(main)
    assert called.status == again.status == scored.status == 502
    error = called.json["error"]
    assert called.json["id"] == 7
    assert error["message"] == "the judge is away"
    assert error["data"] == {
        "code": "judge_error", "failure_class": "judge_error", "retryable": True,
    }  # fmt: skip
    assert "reward" not in scored.json
    assert left == 0


def test_a_client_is_told_why_a_call_failed():
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        async with client(f"{server.url}/mcp", bearer(begun)) as opened:
            with pytest.raises(mcp.MCPError) as failed:
                await opened.call_tool("judge", {})
        return failed.value

    assert "the judge is away" in str(run(main))


def test_a_call_has_the_deadline_of_a_request():
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        called = await ask.post("/mcp", message("tools/call", name="wait"), **bearer(begun))
        return called, await score(ask, begun)

    called, scored = run(main, timeout=0.2)
    assert (called.status, called.json["error"]["data"]["code"]) == (504, "timeout")
    assert scored.status == 504


def test_no_tool_runs_after_the_end():
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        keep = message("tools/call", name="keep", arguments={"text": "a"})
        await ask.post("/mcp", message("tools/call", name="finish"), **bearer(begun))
        late = await ask.post("/mcp", keep, **bearer(begun))
        scored = await score(ask, begun)
        return late, scored, await ask.post("/mcp", keep, **bearer(begun))

    late, scored, gone = run(main)
    assert late.json["result"]["isError"]
    assert "the attempt is over" in late.json["result"]["content"][0]["text"]
    assert scored.json["reward"] == 0.0
    assert (gone.status, gone.json["error"]["data"]["code"]) == (410, "session_over")


def test_a_session_that_goes_turn_by_turn_has_none():
    async def main(server, ask):
        begun = await ask.post("/reset", ROW)
        return await ask.post("/mcp", message(), **bearer(begun))

    found = run(main)
    assert (found.status, found.json["error"]["data"]["code"]) == (409, "wrong_flavour")


def test_a_message_that_comes_again_is_not_executed_again():
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        keep = message("tools/call", name="keep", arguments={"text": "a"})
        for _ in range(3):
            await ask.post("/mcp", keep, idempotency_key="one", **bearer(begun))
        return (await score(ask, begun)).json["reward"]

    assert run(main) == 1.0


BODIES = {
    b"": 400,
    b"[]": 400,
    b"\xff": 400,
    b"[" * 100_000: 400,
    b'{"jsonrpc": "2.0", "method": "notifications/initialized"}': 202,
    b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": 3}': 200,
    b'{"jsonrpc": "2.0", "id": {"a": 1}, "method": "ping"}': 400,
    b'{"jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage"}': 200,
}


def test_whatever_comes_is_answered():
    async def main(server, ask):
        begun = await ask.post("/seed_session", ROW)
        found = [await ask.post("/mcp", body, **bearer(begun)) for body in BODIES]
        await ask.post("/close", {}, begun.session)
        return found, len(server.sessions)

    found, left = run(main)
    assert [reply.status for reply in found] == list(BODIES.values())
    assert all(reply.status == 202 or "error" in reply.json for reply in found)
    assert left == 0

"""The agent protocol: the engine attempts a row with the server's policy."""

import asyncio
import json
from pathlib import Path

import yaml
from tests.serve.helpers import ROW, Caller, serving
from tests.serve.nemo_gym_client import Client

import athlos
from athlos import Environment, Message, Rollout, reward
from athlos.models import Model, Retry
from athlos.serve import EnvOptions, Options, Policy, Server
from athlos.testing import FakeTransport, call, fake_model, scripted
from athlos.testing.stub import ToolPolicy, stub_server

TINY = Path(__file__).parents[1] / "data" / "tiny"


def run(main, environment="counter", **options):
    async def all_of_it():
        async with serving(environment, **options) as server:
            found = await main(server, Caller(server))
            assert len(server.sessions) == 0
            return found

    return asyncio.run(all_of_it())


def adds(*amounts):
    return scripted(*(call("add", amount=amount) for amount in amounts), "done")


def test_run_returns_the_row_with_its_trajectory_and_reward():
    async def main(server, ask):
        return (await ask.post("/run", {**ROW, "_ng_task_index": 3})).json

    row = run(main, model=adds(2, 3))
    assert (row["reward"], row["stop_reason"], row["_ng_task_index"]) == (1.0, "answered", 3)
    assert row["verifier_metadata"] == ROW["verifier_metadata"]
    kinds = [item["type"] for item in row["response"]["output"]]
    assert kinds == ["function_call", "function_call_output"] * 2 + ["message"]
    assert row["response"]["usage"]["total_tokens"] > 0
    assert row["response"]["tools"][0]["name"] == "add"


def test_responses_has_the_trajectory_and_verify_scores_its_session():
    async def main(server, ask):
        client = Client(server.url, server.token)

        def play():
            client.post("/seed_session", ROW)
            reply = client.post("/v1/responses", ROW["responses_create_params"])
            return reply, client.post("/verify", {**ROW, "response": reply})

        found = await asyncio.to_thread(play)
        client.close()
        return found

    reply, scored = run(main, model=adds(5))
    assert [item["type"] for item in reply["output"]][-1] == "message"
    assert (scored["reward"], scored["calls"], scored["stop_reason"]) == (1.0, 1.0, "answered")


def test_a_game_that_was_played_by_responses_is_not_played_again_by_verify():
    async def main(server, ask):
        client = Client(server.url, server.token)
        row = {
            "responses_create_params": {"input": "Play."},
            "verifier_metadata": {"seed": "test-1"},
        }

        def play():
            client.post("/seed_session", row)
            reply = client.post("/v1/responses", row["responses_create_params"])
            scored = client.post("/verify", {**row, "response": reply})
            return scored, client.post("/run", row)

        found = await asyncio.to_thread(play)
        client.close()
        return found

    model = scripted("<action>hit</action>", "<action>stand</action>")
    scored, ran = run(main, "blackjack", model=model)
    names = ("reward", "reward_components", "stop_reason", "player", "dealer", "well_formed")
    assert {name: scored[name] for name in names} == {name: ran[name] for name in names}


def test_responses_without_a_session_is_for_once():
    async def main(server, ask):
        return await ask.post("/v1/responses", {"input": "Count."})

    reply = run(main, model=adds(1))
    assert reply.json["object"] == "response"
    assert "set-cookie" not in reply.headers


def test_without_a_policy_there_is_no_agent():
    async def main(server, ask):
        paths = (await ask("GET", "/openapi.json")).json["paths"]
        return (await ask.post("/run", ROW)).status, "/run" in paths

    assert run(main) == (404, False)


def test_a_failing_model_is_a_bad_gateway_and_no_reward():
    def broken(method, path, request):
        if path == "/models":
            return 200, {"data": [{"id": "m"}]}
        return 400, {"error": {"message": "nothing today"}}

    async def main(server, ask):
        return await ask.post("/run", ROW), await ask.post("/v1/responses", {"input": "a"})

    model = Model(name="m", transport=FakeTransport(broken), retry=Retry(max_tries=1))
    for reply in run(main, model=model):
        assert (reply.status, reply.json["error"]["failure_class"]) == (502, "model_error")
        assert "reward" not in reply.json


def test_a_model_server_that_does_not_answer_is_told_as_such():
    async def main():
        options = Options(
            environments=[EnvOptions("counter")], policy=Policy(["http://127.0.0.1:9/v1"], "m")
        )
        async with Server(options) as server:
            return await Caller(server).post("/run", ROW)

    reply = asyncio.run(main())
    assert (reply.status, reply.json["error"]["failure_class"]) == (502, "model_error")


def test_a_client_that_goes_away_ends_its_attempt():
    class Watched(Environment):
        name = "watched"
        ended = 0

        def teardown(self):
            Watched.ended += 1

        @reward
        def right(self, rollout: Rollout) -> float:
            return 1.0

    async def main():
        begun = asyncio.Event()

        async def policy(messages):
            begun.set()
            await asyncio.sleep(3600)

        async with serving(Watched, model=fake_model(policy)) as server:
            host, _, port = server.url.removeprefix("http://").partition(":")
            _, writer = await asyncio.open_connection(host, int(port))
            body = json.dumps(ROW).encode()
            head = f"POST /run HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {server.token}\r\n"
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            await begun.wait()
            writer.close()
            while not Watched.ended:
                await asyncio.sleep(0.02)
            return len(server.sessions)

    assert asyncio.run(asyncio.wait_for(main(), 30)) == 0


class Named:
    """A model server with two models, each of which says its name."""

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}/v1"

    async def __aexit__(self, *error):
        self._server.close()

    async def _answer(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        value = {"object": "list", "data": [{"id": name} for name in ("small", "large")]}
        if head.startswith(b"POST"):
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            model = json.loads(await reader.readexactly(length))["model"]
            message = {"role": "assistant", "content": f"I am {model}"}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            value = {"id": "1", "model": model, "choices": [choice]}
        body = json.dumps(value).encode()
        start = f"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(start.encode() + body)
        writer.close()


def test_the_request_names_the_model_where_the_options_do_not():
    async def main():
        async with Named() as url:
            found = []
            for fixed in (None, "small"):
                made = Options(environments=[EnvOptions("counter")], policy=Policy([url], fixed))
                async with Server(made) as server:
                    for name in ("small", "large", "none"):
                        params = {**ROW["responses_create_params"], "model": name}
                        body = {**ROW, "responses_create_params": params}
                        reply = await Caller(server).post("/run", body)
                        output = reply.json.get("response", {}).get("output")
                        found.append(output[0]["content"][0]["text"] if output else reply.status)
            return found

    assert asyncio.run(main()) == ["I am small", "I am large", 502, *["I am small"] * 3]


def test_attempts_count_against_the_cap():
    async def main():
        begun, go = asyncio.Event(), asyncio.Event()

        async def policy(messages: list[Message]):
            begun.set()
            await go.wait()
            return "done"

        async with serving("counter", model=fake_model(policy), max_sessions=1) as server:
            ask = Caller(server)
            first = asyncio.ensure_future(ask.post("/run", ROW))
            await begun.wait()
            second = await ask.post("/run", ROW)
            go.set()
            return (await first).status, second.status

    assert asyncio.run(main()) == (200, 503)


def test_token_ids_come_back_and_are_recorded_by_the_one_who_asked(tmp_path):
    """Through `/run`: what an agent's attempt has recorded here is what it would have there."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps(ROW) + "\n")

    async def main():
        with stub_server("vllm", tokenizer=TINY, policy=ToolPolicy(calls=1)) as stub:
            made = Options(
                environments=[EnvOptions("counter")],
                policy=Policy([stub.url], "tiny", tokens="capture", sampling={"temperature": 0.0}),
            )
            async with Server(made, token=None) as server:
                reply = await Caller(server).post("/run", ROW)
                collection = athlos.collect(
                    f"nemo-gym-agent+{server.url}", scripted("never asked"), tasks=rows
                )
                found = [rollout async for rollout in collection]
        return reply.json, found, collection.failures

    row, (rollout,), failures = asyncio.run(main())
    assert failures == []
    call_item, _, answer = row["response"]["output"]
    for item in (call_item, answer):
        assert len(item["generation_token_ids"]) == len(item["generation_log_probs"]) > 1
    first, second = rollout.calls
    assert first.token_ids == call_item["generation_token_ids"]
    assert second.prompt_token_ids == answer["prompt_token_ids"]
    assert second.prompt_token_ids[: len(first.prompt_token_ids)] == first.prompt_token_ids
    assert rollout.sequences()


def test_without_capture_no_token_ids_come_back():
    async def main(server, ask):
        return (await ask.post("/run", ROW)).json

    output = run(main, model=adds(5))["response"]["output"]
    assert not any("generation_token_ids" in item for item in output)


def test_the_response_has_the_tools_that_the_row_offers():
    async def main(server, ask):
        params = ROW["responses_create_params"] | {"tools": []}
        reply = await ask.post("/run", {**ROW, "responses_create_params": params})
        return reply.json

    row = run(main, model=adds(5))
    assert row["response"]["tools"] == []
    assert row["reward"] == 0.0


def test_the_head_leads_a_collector_to_run():
    """Its collector reaches an agent through an environment server, by host and port."""

    async def main(server, ask):
        config = (await ask("GET", "/global_config_dict_yaml")).json
        listed = (await ask("GET", "/server_instances")).json
        return server.url, yaml.safe_load(config), listed

    url, config, listed = run(main, model=adds(1))
    front = config["counter_environment_server"]["environment_servers"]["legacy_agent"]
    assert f"http://{front['host']}:{front['port']}" == url
    assert front["agent_server"] == {"type": "responses_api_agents", "name": "counter_agent"}
    assert [one["server_type"] for one in listed] == [
        "resources_servers", "responses_api_agents", "environment_servers",
    ]  # fmt: skip

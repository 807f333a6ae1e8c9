"""What the server says of itself: description, configuration, figures; and how it ends."""

import asyncio
import json
import os
import signal
import subprocess
import sys

import pytest
import yaml
from tests.serve.helpers import ROW, Caller, answered, said, serving

from athlos import ConfigError, Environment, Rollout, group_reward, reward
from athlos.registry import load
from athlos.serve import EnvOptions, Options, Server
from athlos.serve.aggregate import aggregate
from athlos.testing import scripted


def get(path, *environments, **options):
    async def main():
        async with serving(*environments, **options) as server:
            return await Caller(server)("GET", path)

    return asyncio.run(main())


def test_the_description_has_the_routes_and_the_schemas_of_the_tools():
    async def main():
        async with serving("counter", "mcqa", model=scripted("hm")) as server:
            described = (await Caller(server)("GET", "/openapi.json")).json
            return described, set(server._app.routes)

    described, routes = asyncio.run(main())
    found = {(m.upper(), path) for path, methods in described["paths"].items() for m in methods}
    assert found == routes
    tool = described["paths"]["/counter/add"]["post"]["requestBody"]["content"]["application/json"]
    wire = load("counter").tools["add"].wire["function"]
    assert tool["schema"] == wire["parameters"]
    assert described["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert described["paths"]["/health"]["get"]["security"] == []
    text = json.dumps(described)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in described["components"]["schemas"]


def test_the_configuration_leads_nemo_gym_to_the_server():
    reply = get("/global_config_dict_yaml", "counter", model=scripted("hm"))
    config = yaml.safe_load(reply.json)
    entry = next(iter(next(iter(config["counter"].values())).values()))  # as its clients do
    assert entry["host"] == "127.0.0.1"
    assert entry["port"] > 0
    agent = config["counter_agent"]["responses_api_agents"]["athlos"]
    assert agent["resources_server"] == {"type": "resources_servers", "name": "counter"}


def test_the_instances_are_listed():
    found = get("/server_instances", "counter", "mcqa").json
    assert [one["process_name"] for one in found] == ["counter", "mcqa"]
    assert found[0]["url"].endswith("/counter")
    assert found[0]["server_type"] == "resources_servers"


def test_the_figures_are_in_the_format_of_prometheus():
    async def main():
        async with serving("counter") as server:
            ask = Caller(server)
            begun = await ask.post("/seed_session", ROW)
            await ask.post("/add", {"amount": 1}, begun.session)
            return (await ask("GET", "/metrics")).text

    lines = asyncio.run(main()).splitlines()
    assert (
        'athlos_serve_requests_total{environment="counter",endpoint="tool",status="200"} 1' in lines
    )
    assert "athlos_serve_sessions 1" in lines
    values = [line for line in lines if not line.startswith("#")]
    assert all(float(line.rsplit(" ", 1)[1]) >= 0 for line in values)
    assert len({line.split()[2] for line in lines if line.startswith("# TYPE")}) == 10


@pytest.mark.parametrize(
    ("name", "mode"), [("mcqa", "stateless"), ("counter", "unknown"), ("blackjack", "unknown")]
)
def test_an_environment_without_state_can_be_verified_again(name, mode):
    assert get("/reverify_mode", name).json == mode


def test_metrics_are_aggregated_under_nemo_gyms_names():
    rows = [
        {"reward": 1.0, "_ng_task_index": 0, "_ng_rollout_index": 0, "right": True},
        {"reward": 0.0, "_ng_task_index": 0, "_ng_rollout_index": 1, "right": False},
        {"reward": 1.0, "_ng_task_index": 1, "_ng_rollout_index": 0, "text": "x",
         "response": {"usage": {"output_tokens": 7}}},
    ]  # fmt: skip
    found = aggregate(rows)
    assert found["agent_metrics"]["mean/reward"] == pytest.approx(2 / 3)
    assert found["agent_metrics"]["std/right"] == pytest.approx(0.5**0.5)
    assert found["agent_metrics"]["max/output_tokens"] == 7
    assert set(found["key_metrics"]) == {"mean/reward", "mean/right", "mean/output_tokens"}
    first, second = found["group_level_metrics"]
    assert (first["median/reward"], first["num_rollouts"], second["std/reward"]) == (0.5, 2, 0.0)
    assert first["rollout_infos"][1]["rollout_id"] == "0:1"


def test_metrics_of_nothing_are_empty():
    assert aggregate([]) == {"group_level_metrics": [], "agent_metrics": {}, "key_metrics": {}}


def test_an_environment_that_compares_groups_is_refused():
    class Compares(Environment):
        @group_reward
        def best(self, rollouts: list[Rollout]) -> list[float]:
            return [1.0 for _ in rollouts]

    with pytest.raises(ConfigError, match="compares the rollouts of a group"):
        Server(Options(environments=[EnvOptions("a")]), environments=[Compares])


def test_two_environments_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="two of the environments are named 'counter'"):
        Server(Options(environments=[EnvOptions("counter"), EnvOptions("counter")]))


def test_a_role_that_nobody_fills_is_refused():
    class Judged(Environment):
        roles = ("judge",)

        @reward
        def right(self, rollout: Rollout) -> float:
            return 1.0

    with pytest.raises(ConfigError, match="in the role 'judge'"):
        Server(Options(environments=[EnvOptions("a")]), environments=[Judged])


def test_a_draining_server_lets_attempts_end_and_begins_none():
    async def main():
        async with serving("counter") as server:
            ask = Caller(server)
            begun = await ask.post("/seed_session", ROW)
            draining = asyncio.ensure_future(server.drain(30))
            await asyncio.sleep(0.1)
            refused = await ask.post("/seed_session", ROW)
            health = (await ask("GET", "/health")).json["status"]
            added = await ask.post("/add", {"amount": 5}, begun.session)
            body = {**ROW, "response": answered(said("done"))}
            scored = await ask.post("/verify", body, begun.session)
            await draining
            return refused, health, added.status, scored.json["reward"]

    refused, health, added, reward = asyncio.run(main())
    assert (refused.status, refused.code) == (503, "draining")
    assert (health, added, reward) == ("draining", 200, 1.0)


class Served:
    """`athlos serve` in a process of its own."""

    def __init__(self, *arguments, port="0", **environ):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "athlos", "serve", *arguments, "--port", port],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **environ},
        )  # fmt: skip
        line = self.process.stdout.readline()
        if " at " not in line:
            raise AssertionError(f"{line}{self.process.communicate()}")
        self.url = line.rsplit(" at ", 1)[1].strip()
        self.token = environ.get("TOKEN")
        if self.token is None and "--no-auth" not in arguments:
            self.token = self.process.stderr.readline().removeprefix("token: ").strip()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.communicate()


def test_the_command_serves_until_it_is_told_to_end():
    with Served("counter", "mcqa", "--drain", "20") as served:
        ask = Caller(served)
        begun = ask.ask("POST", "/counter/seed_session", ROW, {})
        served.process.send_signal(signal.SIGTERM)
        added = ask.ask("POST", "/counter/add", {"amount": 5}, begun.session)
        body = {**ROW, "response": answered(said("done"))}
        scored = ask.ask("POST", "/counter/verify", body, begun.session)
        code = served.process.wait(60)
        said_so = served.process.stderr.read()
    assert (added.text, scored.json["reward"], code) == ("5", 1.0, 0)
    assert served.token not in said_so


def test_the_command_takes_its_token_from_a_variable_and_hides_it():
    with Served("counter", "--token-env", "TOKEN", TOKEN="a-token-of-the-tests-0123") as served:
        ask = Caller(served)
        status = ask.ask("GET", "/reverify_mode", None, {}).status
        with open(f"/proc/{served.process.pid}/cmdline") as file:
            arguments = file.read()
        served.process.send_signal(signal.SIGTERM)
        served.process.wait(60)
        said_so = served.process.stderr.read()
    assert status == 200
    assert served.token not in arguments + said_so


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("counter", "--no-auth", "--host", "0.0.0.0"), "without a token"),
        (("counter", "--model", "m"), "no server"),
        (("countre",), "no environment named"),
        (("counter", "--token-env", "NOT_SET"), "NOT_SET"),
        (("counter", "--max-sessions", "0"), "max_sessions"),
        (("counter", "mcqa", "--env.size", "3"), "several"),
        ((), "ENVIRONMENT"),
    ],
)
def test_mistakes_cost_one_message(arguments, message):
    done = subprocess.run(
        [sys.executable, "-m", "athlos", "serve", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr

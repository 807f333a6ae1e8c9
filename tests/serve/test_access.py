"""Who gets in, and that nothing secret gets out."""

import asyncio
import json
import logging

import pytest
from tests.serve.helpers import ROW, Caller, serving

from athlos import Config as BaseConfig
from athlos import ConfigError, Environment, Rollout, reward
from athlos.serve import EnvOptions, Options, Policy, Server
from athlos.testing import scripted

TOKEN = "a-token-of-the-tests-0123"


class Keyed(Environment):
    """Has a secret among its settings."""

    name = "keyed"

    class Config(BaseConfig):
        api_key: str = ""
        url: str = ""

    @reward
    def right(self, rollout: Rollout) -> float:
        return 1.0


def run(main, environment="counter", ask_as=None, **options):
    async def all_of_it():
        async with serving(environment, **options) as server:
            return await main(server, Caller(server, token=ask_as))

    return asyncio.run(all_of_it())


def paths(server):
    return [key for key in server._app.routes if key != ("GET", "/health")]


UNKNOWN = ["/nothing", "/docs", "/add/x", "/%2e%2e/verify", "/ng-rollout/1/verify", "/mcp/x", "//"]


@pytest.mark.parametrize("sent", [None, "Bearer", "Bearer wrong", "Basic x", f"Bearer {TOKEN}x"])
def test_without_the_token_everything_but_health_is_refused(sent):
    async def main(server, ask):
        headers = {} if sent is None else {"authorization": sent}
        anybody = Caller(server, token="")
        anybody._token = None
        described = (await ask("GET", "/openapi.json")).json["paths"]
        known = {(method.upper(), path) for path in described for method in described[path]}
        known = (known | set(paths(server))) - {("GET", "/health")}
        known |= {(method, path) for path in UNKNOWN for method in ("GET", "POST", "PUT")}
        refused = {key: (await anybody(*key, **headers)).status for key in sorted(known)}
        return refused, await anybody("GET", "/health")

    refused, health = run(main, token=TOKEN, model=scripted("hm"), ask_as=TOKEN)
    assert {key: status for key, status in refused.items() if status != 401} == {}
    assert len(refused) > 12 + 3 * len(UNKNOWN)
    assert health.json == {"status": "ok"}


def test_the_name_of_a_session_opens_its_own_tools_and_nothing_else():
    async def main(server, ask):
        one, other = [await ask.post("/seed_session", ROW) for _ in "ab"]
        name = one.headers["athlos-session"]
        guest = Caller(server, token=name)
        statuses = {key: (await guest(*key)).status for key in paths(server) if key[1] != "/mcp"}
        listed = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
        listed["params"] = {"name": "add", "arguments": {"amount": 3}}
        taken = await guest.post("/mcp", listed, other.session)  # with the other one's header
        return statuses, taken, [(await ask.post("/add", {"amount": 0}, s.session)).text
                                 for s in (one, other)]  # fmt: skip

    statuses, taken, counts = run(main, token=TOKEN)
    assert set(statuses.values()) == {401}
    assert taken.status == 200
    assert counts == ["3", "0"]


def test_with_the_token_they_are_open():
    async def main(server, ask):
        return [(await ask(*key)).status for key in paths(server)]

    assert 401 not in run(main, token=TOKEN)


def test_a_token_is_made_if_none_is_given():
    async def main(server, ask):
        return server.token

    assert len(run(main)) >= 32


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::"])
def test_others_are_let_in_only_with_a_token(host):
    with pytest.raises(ConfigError, match="without a token"):
        Server(Options(environments=[EnvOptions("counter")], host=host), token=None)


@pytest.mark.parametrize("token", ["short", "with a space in it 123", "ümlaut-ümlaut-ümlaut"])
def test_a_token_that_is_none_is_refused(token):
    with pytest.raises(ConfigError, match="token"):
        Server(Options(environments=[EnvOptions("counter")]), token=token)


def test_without_a_token_pages_of_other_sites_get_nothing():
    async def main(server, ask):
        plain = Caller(server, token="")
        return (
            (await plain("GET", "/reverify_mode")).status,
            (await plain("GET", "/reverify_mode", host="evil.example")).status,
            (await plain("GET", "/reverify_mode", origin="http://evil.example")).status,
            (await plain("GET", "/reverify_mode", host="[::1]:80")).status,
        )

    assert run(main, token=None) == (200, 403, 403, 200)


def test_nothing_secret_is_in_any_reply_or_log(caplog):
    secrets = ("s3cret-key", "s3cret-password", "s3cret-query", TOKEN)
    url = "http://user:s3cret-password@host/?sig=s3cret-query&n="
    settings = {"api_key": "s3cret-key", "url": url}

    async def main():
        made = Options(
            environments=[EnvOptions("keyed", settings)],
            policy=Policy(["http://127.0.0.1:9/v1"], "m"),
        )
        async with Server(made, token=TOKEN, environments=[Keyed]) as server:
            ask = Caller(server)
            gets = [await ask(*key) for key in paths(server) if key[0] == "GET"]
            posts = [
                await ask.post(path, ROW) for method, path in paths(server) if method == "POST"
            ]
            return [reply.body.decode() for reply in [*gets, *posts]]

    with caplog.at_level(logging.DEBUG):
        bodies = asyncio.run(main())
    said = [*bodies, *(record.getMessage() for record in caplog.records)]
    assert [secret for secret in secrets for text in said if secret in text] == []
    yaml = next(json.loads(body) for body in bodies if "resources_servers" in body)
    assert "***" in yaml
    assert "http://***@host/?sig=***&n=" in yaml
    assert "tokens: 'off'" in yaml


def test_a_tool_with_the_name_of_an_endpoint_is_refused():
    from athlos import tool

    class Wrong(Environment):
        @tool
        def verify(self) -> int:
            return 1

        @reward
        def right(self, rollout: Rollout) -> float:
            return 1.0

    with pytest.raises(ConfigError, match="'verify' has the name of an endpoint"):
        Server(Options(environments=[EnvOptions("wrong")]), environments=[Wrong])

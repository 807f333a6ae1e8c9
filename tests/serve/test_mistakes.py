"""What a client or an operator gets wrong is said at once, and never scored."""

import asyncio

import pytest
from click.testing import CliRunner
from tests.serve.helpers import ROW, Caller, answered, said, serving

from athlos import ConfigError
from athlos.cli.serve import command
from athlos.serve import EnvOptions, Options, Policy, Server
from athlos.serve.app import Head
from athlos.serve.workers import _told


def verify(*items):
    async def main():
        async with serving("counter") as server:
            return await Caller(server).post("/verify", {**ROW, "response": answered(*items)})

    return asyncio.run(main())


@pytest.mark.parametrize("kind", ["mesage", "output_text", "custom_tool_call", None])
def test_an_item_of_an_unknown_type_is_named(kind):
    reply = verify(said("Hm."), {"type": kind, "text": "Done."})
    assert reply.status == 422
    assert f"`response.output[1]` has the type {str(kind)!r}" in reply.json["error"]["message"]


def test_items_of_tools_that_the_model_server_runs_are_left_out():
    reply = verify({"type": "web_search_call", "id": "w"}, said("Done."))
    assert reply.status == 200


@pytest.mark.parametrize("row", [{}, ROW])
def test_metadata_that_is_no_object_is_refused_at_the_beginning(row):
    async def main():
        async with serving("counter") as server:
            return await Caller(server).post("/seed_session", {**row, "verifier_metadata": [5]})

    reply = asyncio.run(main())
    assert reply.status == 422
    assert "verifier_metadata" in reply.json["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ([(b"idempotency-key", b"")], None),
        ([(b"idempotency-key", b" "), (b"x-request-id", b"a")], ("x-request-id", b"a")),
        ([(b"x-request-id", b"a"), (b"idempotency-key", b"b")], ("idempotency-key", b"b")),
    ],
)
def test_an_empty_key_is_none(headers, key):
    assert Head(headers).key == key


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (Policy(["localhost:8000"]), "localhost:8000"),
        (Policy(["http://127.0.0.1:9/v1"], api_key_env="NOT_SET"), "NOT_SET"),
    ],
)
def test_a_model_server_that_cannot_be_asked_is_found_at_the_start(policy, message):
    options = Options(environments=[EnvOptions("counter")], policy=policy)
    with pytest.raises(ConfigError, match=message):
        Server(options)


def test_a_loopback_address_can_be_asked_by_its_own_name():
    async def main():
        async with serving("counter", token=None, host="127.0.0.2") as server:
            ask = Caller(server)
            other = await ask("GET", "/reverify_mode", host="evil.example")
            return (await ask("GET", "/reverify_mode")).status, other.status

    assert asyncio.run(main()) == (200, 403)


@pytest.mark.parametrize("port", ["99999", "-1"])
def test_a_port_that_is_none_is_a_mistake(port):
    done = CliRunner().invoke(command, ["counter", "--port", port])
    assert done.exit_code == 2
    assert "--port" in done.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("--judge-model", "m"),
        ("--judge-key-env", "KEY"),
        ("--api-key-env", "KEY"),
        ("--sampling.temperature", "0"),
    ],
)
def test_an_option_without_its_partner_is_a_mistake(arguments):
    done = CliRunner().invoke(command, ["counter", *arguments])
    assert isinstance(done.exception, ConfigError)
    assert arguments[0] in done.exception.message


def test_why_a_worker_did_not_start_keeps_its_hint_apart():
    told = _told(b'["no uvicorn","pip install it"]\n', 1)
    assert str(told) == "no uvicorn\npip install it"
    assert str(_told(b"", 1)) == "worker 1 of the server did not start"

"""`athlos serve`: environments behind HTTP."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

import click

from athlos.cli.dotted import DottedCommand

if TYPE_CHECKING:
    from athlos.serve import Options

_EPILOG = """\b
Examples:
  athlos serve counter
  athlos serve math mcqa --port 8100 --token-env SERVE_TOKEN
  athlos serve ./counter.py --base-url http://127.0.0.1:8000/v1 --model Qwen/Qwen3-4B
  athlos serve math --env.level 3 --workers 4 --no-auth

\b
  curl -H "authorization: Bearer $TOKEN" http://127.0.0.1:8300/openapi.json

\b
The first Ctrl-C (or SIGTERM) lets attempts end, the second does not.
"""


@click.command("serve", cls=DottedCommand, epilog=_EPILOG)
@click.argument("references", metavar="ENVIRONMENT...", nargs=-1, required=True)
@click.option("--host", default="127.0.0.1", metavar="HOST", help="To listen on. [127.0.0.1]")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8300,
    metavar="P",
    help="0 takes a free one. [8300]",
)
@click.option(
    "--token-env", metavar="VAR",
    help="Variable that holds the token which opens it. [a new one, printed once]",
)  # fmt: skip
@click.option("--no-auth", is_flag=True, help="No token; only on a loopback address.")
@click.option("--base-url", metavar="URL", multiple=True, help="Of the model server for /run.")
@click.option("--model", metavar="NAME", help="For /run; else the request names it.")
@click.option("--api-key-env", metavar="VAR", help="Variable that holds the model server's key.")
@click.option(
    "--tokens", type=click.Choice(["off", "capture"]), default="off",
    help="Whether /run returns the token ids of each call. [off]",
)  # fmt: skip
@click.option("--judge-url", metavar="URL", multiple=True, help="Of the server of the judge model.")
@click.option("--judge-model", metavar="NAME", help="The model in the role `judge`.")
@click.option("--judge-key-env", metavar="VAR", help="Variable that holds that server's key.")
@click.option("--max-turns", type=int, default=50, metavar="N", help="Of an attempt. [50]")
@click.option("--seed", type=int, metavar="N", help="Makes games repeatable.")
@click.option(
    "--max-sessions", type=int, default=10_000, metavar="N", help="Attempts at once. [10000]"
)
@click.option(
    "--lease", type=float, default=1800.0, metavar="S",
    help="After which a session that nobody uses is closed. [1800]",
)  # fmt: skip
@click.option("--deadline", type=float, default=14400.0, metavar="S", help="Of an attempt. [14400]")
@click.option("--timeout", type=float, default=600.0, metavar="S", help="Of one request. [600]")
@click.option("--max-body", type=int, default=32, metavar="MB", help="Of a request. [32]")
@click.option(
    "--drain", type=click.FloatRange(min=0), default=30.0, metavar="S",
    help="How long attempts may go on when it is told to end. [30]",
)  # fmt: skip
@click.option("--workers", type=int, default=1, metavar="N", help="Processes. [1]")
@click.option(
    "--sandbox", default="auto", metavar="NAME",
    help="bubblewrap, podman, docker, or subprocess, which does not isolate. [auto]",
)  # fmt: skip
@click.pass_context
def command(context: click.Context, /, references: tuple[str, ...], **given: Any) -> None:
    """Put environments behind HTTP, with the protocol of NeMo Gym's servers.

    One environment is at the root, several are each under their name. Settings are
    `--env.KEY VALUE`, for one environment only.
    """
    options = _options(references, given, context.meta["dotted"])
    token = _token(given["token_env"], no_auth=given["no_auth"])
    hidden = (given["token_env"],) if given["token_env"] else ()
    from athlos.cli.run import _allow_many_sockets
    from athlos.serve.workers import run

    _allow_many_sockets()
    for name in hidden:  # an environment's code has no use for it
        os.environ.pop(name, None)
    main = _serve_many if options.workers > 1 else _serve
    run(main(options, token, hidden, made=not given["token_env"] and token is not None))


def _options(references: tuple[str, ...], given: dict[str, Any], dotted: Any) -> Options:
    from athlos.cli.dotted import env_settings, sampling_settings
    from athlos.errors import ConfigError
    from athlos.registry import load
    from athlos.serve import EnvOptions, Options, Policy

    environments = [EnvOptions(reference) for reference in references]
    if words := dotted["env"]:
        if len(references) > 1:
            raise ConfigError("--env.KEY is for one environment; there are several")
        environments[0].settings = env_settings(words, load(references[0]).Config)
    policy = None
    if given["base_url"]:
        sampling = sampling_settings(dotted["sampling"])
        policy = Policy(
            list(given["base_url"]), given["model"], given["api_key_env"], sampling, given["tokens"]
        )
    elif given["model"]:
        raise ConfigError("--model names a model, but no server", hint="Add --base-url URL.")
    elif alone := _given_alone(given, dotted):
        raise ConfigError(f"{alone} is of a model, and there is none", hint="Add --base-url URL.")
    models = {}
    if given["judge_url"]:
        models["judge"] = Policy(
            list(given["judge_url"]), given["judge_model"], given["judge_key_env"]
        )
    elif given["judge_model"] or given["judge_key_env"]:
        alone = "--judge-model" if given["judge_model"] else "--judge-key-env"
        raise ConfigError(f"{alone} is of a judge, and there is none", hint="Add --judge-url URL.")
    names = (
        "host", "port", "max_turns", "seed", "max_sessions", "lease", "deadline", "timeout",
        "drain", "workers", "sandbox",
    )  # fmt: skip
    return Options(
        environments=environments, policy=policy, models=models,
        max_body=given["max_body"] << 20, **{name: given[name] for name in names},
    )  # fmt: skip


def _given_alone(given: dict[str, Any], dotted: Any) -> str:
    """An option of the model server, where no such server was named; "" if there is none."""
    if given["tokens"] != "off":
        return "--tokens"
    if given["api_key_env"]:
        return "--api-key-env"
    return next((f"--sampling.{name}" for name in dotted["sampling"]), "")


def _token(variable: str | None, *, no_auth: bool) -> str | None:
    import secrets

    from athlos.errors import ConfigError

    if no_auth:
        if variable is not None:
            raise ConfigError("--no-auth and --token-env exclude each other")
        return None
    if variable is None:
        return secrets.token_urlsafe(32)
    token = os.environ.get(variable, "").strip()
    if not token:
        raise ConfigError(f"the environment variable {variable}, for the token, is not set")
    return token


def _signals() -> tuple[asyncio.Event, asyncio.Event]:
    """What asks for the end, and what asks for it at once."""
    asked, at_once = asyncio.Event(), asyncio.Event()

    def interrupted() -> None:
        (at_once if asked.is_set() else asked).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted)
    return asked, at_once


def _announce(options: Options, url: str, token: str | None, made: bool) -> None:
    names = ", ".join(given.reference for given in options.environments)
    click.echo(f"serving {names} at {url}")
    if made:
        click.echo(f"token: {token}", err=True)


async def _serve(options: Options, token: str | None, hidden: tuple[str, ...], made: bool) -> None:
    from athlos.serve import Server
    from athlos.serve.workers import serve_until

    asked, at_once = _signals()
    server = Server(options, token=token)
    await server.start()
    try:
        _announce(options, server.url, token, made)
        waiting = asyncio.ensure_future(asked.wait())
        await waiting
        click.echo("ending: waiting for the attempts under way", err=True)
        await serve_until(server, asked, at_once, options.drain)
    finally:
        await server.close()


async def _serve_many(
    options: Options, token: str | None, hidden: tuple[str, ...], made: bool
) -> None:
    from athlos.serve.workers import Workers

    asked, at_once = _signals()
    workers = Workers(
        options, token=token, hidden=hidden, say=lambda text: click.echo(text, err=True)
    )
    await workers.start()
    _announce(options, workers.url, token, made)
    await asked.wait()
    click.echo("ending: waiting for the attempts under way", err=True)
    closing = asyncio.ensure_future(workers.close(options.drain))
    hurry = asyncio.ensure_future(at_once.wait())
    await asyncio.wait((closing, hurry), return_when=asyncio.FIRST_COMPLETED)
    if not closing.done():
        workers.hurry()
    await closing
    hurry.cancel()

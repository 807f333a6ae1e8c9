"""`athlos gateway`: an endpoint for any agent, which records what it asks the model for."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from athlos.gateway.standalone import Standalone
    from athlos.models import Model
    from athlos.types import Rollout

_EPILOG = """\b
Examples:
  athlos gateway --base-url http://127.0.0.1:8000/v1 --out rollouts
  athlos gateway --model local --tokens off
  athlos gateway --base-url http://127.0.0.1:8000/v1 --pin temperature=1.0 --pin top_p=1.0

\b
  curl -H "authorization: Bearer $TOKEN" http://127.0.0.1:8400/rollouts -d '{"id": "a"}'
  curl -H "authorization: Bearer $TOKEN" -X DELETE http://127.0.0.1:8400/rollouts/a

\b
The first Ctrl-C (or SIGTERM) waits for the calls under way, the second does not.
"""


@click.command("gateway", epilog=_EPILOG)
@click.option("--model", metavar="NAME", help="Name at the server; `local` or `local:FILE.gguf`.")
@click.option(
    "--base-url", metavar="URL", multiple=True,
    help="Of the server, with /v1; once for each replica. [env: OPENAI_BASE_URL]",
)  # fmt: skip
@click.option(
    "--api-key-env",
    metavar="VAR",
    help="Variable that holds the server's API key. [OPENAI_API_KEY]",
)
@click.option("--host", default="127.0.0.1", metavar="HOST", help="To listen on. [127.0.0.1]")
@click.option("--port", type=int, default=8400, metavar="P", help="0 takes a free one. [8400]")
@click.option(
    "--token-env", metavar="VAR",
    help="Variable that holds the token which opens rollouts. [a new one, printed once]",
)  # fmt: skip
@click.option(
    "--tokens", type=click.Choice(["off", "capture", "exact"]), default="off",
    help="Whether to record token ids, and how. [off]",
)  # fmt: skip
@click.option("--tokenizer", metavar="DIR", help="The model's, for --tokens exact.")
@click.option("--engine", default="auto", metavar="NAME", help="Endpoint, for --tokens exact.")
@click.option("--renderer", default="auto", metavar="FAMILY", help="Chat template, likewise.")
@click.option(
    "--pin", metavar="KEY=VALUE", multiple=True,
    help="A sampling parameter that wins over what agents send; may be repeated.",
)  # fmt: skip
@click.option("--out", metavar="DIR", help="Where rollouts.jsonl is written. [nowhere]")
@click.option(
    "--drain", type=click.FloatRange(min=0), default=30.0, metavar="SECONDS",
    help="How long calls under way may take when it is told to end. [30]",
)  # fmt: skip
def command(
    model: str | None,
    base_url: tuple[str, ...],
    api_key_env: str | None,
    host: str,
    port: int,
    token_env: str | None,
    tokens: str,
    tokenizer: str | None,
    engine: str,
    renderer: str,
    pin: tuple[str, ...],
    out: str | None,
    drain: float,
) -> None:
    """Answer agents with a model, and record what they ask it for.

    Each rollout has a base URL and a key of its own, for OpenAI's chat completions and responses
    and for Anthropic's messages.
    """
    from athlos.cli.run import _allow_many_sockets
    from athlos.gateway.standalone import Standalone
    from athlos.models.token_modes import token_mode

    _allow_many_sockets()
    token = _token(token_env)
    client = _model(
        model,
        base_url,
        api_key_env=api_key_env,
        tokens=token_mode(tokens, tokenizer=tokenizer, engine=engine, renderer=renderer),
    )
    record, taken = _recorder(out)
    pins = _pins(pin)
    service = Standalone(
        client, token=token, pin=pins, record=record, taken=taken, host=host, port=port
    )
    _run(_serve(client, service, pins, drain, show_token=token is None))


def _token(variable: str | None) -> str | None:
    from athlos.errors import ConfigError

    if variable is None:
        return None
    token = os.environ.get(variable, "").strip()
    if not token:
        raise ConfigError(f"the environment variable {variable}, for the token, is not set")
    return token


def _model(name: str | None, base_url: tuple[str, ...], **options: Any) -> Model:
    from athlos.models import Model

    if name is not None and name.partition(":")[0] == "local":
        return Model.local(name, tokens=options["tokens"])
    return Model(base_url or None, name, **options)


def _pins(words: tuple[str, ...]) -> dict[str, Any]:
    from athlos.cli.dotted import sampling_settings
    from athlos.errors import ConfigError

    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not (key and equals):
            raise ConfigError(f"--pin takes KEY=VALUE, not {word!r}", hint="--pin temperature=1.0")
        found[key] = value
    return sampling_settings(found)


def _recorder(out: str | None) -> tuple[Callable[[Rollout], None], set[tuple[str, int]]]:
    """What keeps rollouts, and which there are already."""
    if out is None:
        return lambda rollout: None, set()
    from athlos.runs import encode, read_rollouts

    path = Path(out) / "rollouts.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    known = read_rollouts(path.parent) if path.exists() else ()
    taken = {(rollout.task_id, rollout.sample) for rollout in known}

    def record(rollout: Rollout) -> None:
        line = encode(rollout)
        with path.open("ab") as file:
            file.write(line)

    return record, taken


async def _serve(
    model: Model, service: Standalone, pins: dict[str, Any], drain: float, *, show_token: bool
) -> None:
    asked = asyncio.Event()
    at_once = asyncio.Event()

    def interrupted() -> None:
        (at_once if asked.is_set() else asked).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted)
    async with model:
        await model.connect(pins)
        async with service:
            click.echo(f"gateway at {service.gateway.url} for {model.name}")
            if show_token:
                click.echo(f"token: {service.token}", err=True)
            await asked.wait()
            click.echo("ending: waiting for the calls under way", err=True)
            draining = asyncio.ensure_future(service.gateway.drain(drain))
            hurry = asyncio.ensure_future(at_once.wait())
            await asyncio.wait((draining, hurry), return_when=asyncio.FIRST_COMPLETED)
            draining.cancel()
            hurry.cancel()


def _run(main: Any) -> None:
    """Runs on uvloop, whose sockets cost a fraction of asyncio's own."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)

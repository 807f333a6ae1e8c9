"""`athlos check`: what a part that Athlos does not bring along can do, tried for real."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from athlos.cli.terminal import console, print_json, printable

if TYPE_CHECKING:
    from athlos.models.check import Report

_MODEL_EPILOG = """\b
Exit code: 0 if models, chat and tool calls work, 1 if one of them was not seen to, 2 if there is
nothing to check.

\b
Examples:
  athlos check model http://127.0.0.1:8000/v1
  athlos check model http://127.0.0.1:8000/v1 --model Qwen/Qwen3-4B --json
  athlos check model local
"""
_SHOWN = {
    "yes": ("yes", "green"),
    "partly": ("partly", "yellow"),
    "no": ("no", "red"),
    "unknown": ("?", "yellow"),
}


_EPILOG = """\b
Examples:
  athlos check model http://127.0.0.1:8000/v1
"""


@click.group("check", epilog=_EPILOG)
def command() -> None:
    """Try for real what a model server can do."""


@command.command("model", epilog=_MODEL_EPILOG)
@click.argument("url")
@click.option("--model", metavar="NAME", help="The model. [the only one that the server has]")
@click.option("--api-key-env", metavar="VAR", help="Environment variable that holds the API key.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1, max=3600),
    default=60.0,
    metavar="SECONDS",
    help="How long each capability may take. [60]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def check_model_command(
    context: click.Context,
    url: str,
    model: str | None,
    api_key_env: str | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Try each capability of the model server at URL, its OpenAI base; or of `local`."""
    from athlos.models.check import check_model

    err = console(stderr=True)
    with err.status("trying ...") if err.is_terminal else nullcontext():
        report = asyncio.run(check_model(url, model, api_key_env, timeout=timeout))
    if as_json:
        print_json(
            {
                "url": report.url,
                "model": report.model,
                "server": report.server,
                "missing": report.missing,
                "findings": report.findings,
            }
        )
    else:
        _print(report)
    context.exit(1 if report.missing else 0)


def _print(report: Report) -> None:
    from rich.table import Table
    from rich.text import Text

    out = console()
    server = f" ({report.server})" if report.server else ""
    out.print(Text(printable(f"{report.model} at {report.url}{server}"), "bold"))
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name, ratio in (("capability", 3), ("found", 1), ("", 7), ("unlocks", 5)):
        table.add_column(name, overflow="fold", ratio=ratio)
    for finding in report.findings:
        word, colour = _SHOWN[finding.found]
        table.add_row(
            f"{finding.capability} *" if finding.required else finding.capability,
            Text(word, colour),
            Text(printable(finding.detail)),
            Text(finding.unlocks, "dim"),
        )
    out.print(table)
    out.print(Text("* required", "dim"))
    wanting = [each for each in report.findings if each.switch_on]
    if wanting:
        out.print()
        advice = Table(box=None, pad_edge=False, header_style="dim")
        advice.add_column("to have", overflow="fold")
        advice.add_column("switch on", overflow="fold")
        for each in wanting:
            advice.add_row(each.capability, Text(each.switch_on))
        out.print(advice)
    if report.missing:
        out.print()
        out.print(Text(f"required, but not seen to work: {', '.join(report.missing)}", "red"))

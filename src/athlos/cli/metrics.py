"""`athlos metrics`: the figures of a run."""

from __future__ import annotations

from pathlib import Path

import click

from athlos.cli.terminal import console, print_json

_EPILOG = """\b
Examples:
  athlos metrics runs/a
  athlos metrics runs/a --json | jq .reward.mean
"""


@click.command("metrics", epilog=_EPILOG)
@click.argument("run", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
def command(run: str, as_json: bool) -> None:
    """Show the figures of RUN, a folder that `athlos run` wrote.

    They are computed from its records, so they are right for a run that is still going on, too.
    """
    from athlos.metrics import summarize_run

    spec, summary = summarize_run(Path(run))
    if as_json:
        print_json(summary)
        return
    from athlos.cli.report import print_summary

    print_summary(summary, console(), title=f"{spec.environment.name} · {spec.model.name}")

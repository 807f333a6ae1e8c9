"""`athlos export`: a run as rows for a trainer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from athlos.cli.terminal import printable
from athlos.errors import ConfigError, TokenError

if TYPE_CHECKING:
    from athlos.runs.export import Exported

_EPILOG = """\b
Examples:
  athlos export runs/a --advantages grpo --out train.parquet
  athlos export runs/a --policy realign --window 64 | wc -l
  athlos export runs/a --format messages --out sft.jsonl
  athlos export runs/a --format nemo-gym --out results/a.jsonl
"""

_POLICIES = ["fork", "strict", "per_call", "main_only", "realign"]
_NAMED = 10  # broken rollouts
_MODES = ["grpo", "loo", "centered", "none"]


@click.command("export", epilog=_EPILOG)
@click.argument("run", metavar="RUN")
@click.option(
    "--format",
    "form",
    type=click.Choice(["sequences", "messages", "nemo-gym"]),
    default="sequences",
    help="Token ids with a loss mask, chat messages with their reward, or NeMo Gym's files. "
    "[sequences]",
)
@click.option("--policy", type=click.Choice(_POLICIES), help="How calls become sequences. [fork]")
@click.option("--window", type=click.IntRange(0), metavar="N", help="Of --policy realign. [1024]")
@click.option(
    "--advantages", type=click.Choice(_MODES), default="none", help="Over each group. [none]"
)
@click.option(
    "--skip-broken", is_flag=True, help="Leave out rollouts whose tokens contradict each other."
)
@click.option(
    "--out", metavar="FILE", help="A .jsonl or .parquet file. [JSON lines on standard output]"
)
def command(
    run: str,
    form: str,
    policy: str | None,
    window: int | None,
    advantages: str,
    skip_broken: bool,
    out: str | None,
) -> None:
    """Write the rollouts of RUN, a folder that `athlos run` wrote, as rows for a trainer.

    The rows of a task's group stand together. Attempts that failed have no row and no part in any
    advantage; each row says how many they were in its group.
    """
    from athlos.runs.export import export

    if form == "nemo-gym" and advantages != "none":
        raise ConfigError("--advantages has no place in the rows of NeMo Gym")
    if form != "sequences" and (policy or window is not None):
        raise ConfigError("--policy and --window are for --format sequences")
    if window is not None and policy != "realign":
        raise ConfigError("--window is for --policy realign")
    options: dict[str, Any] = {"format": form, "mode": advantages}
    options |= {} if policy is None else {"policy": policy}
    options |= {} if window is None else {"window": window}
    target = Path(out) if out else sys.stdout.buffer
    try:
        done = export(run, target, skip_broken=skip_broken, **options)
    except TokenError as error:
        error.hint = f"{error.hint} --skip-broken leaves such rollouts out.".lstrip()
        raise
    for message in done.broken[:_NAMED]:
        click.echo(printable(f"left out: {message}"), err=True)
    click.echo(printable(_sentence(done, form, out)), err=True)


def _sentence(done: Exported, form: str, out: str | None) -> str:
    """What was written, and what is not in it."""
    kind = {"sequences": "sequences", "messages": "conversations", "nemo-gym": "rows"}[form]
    parts = [f"{done.rows} {kind} of {done.rollouts} rollouts{f' in {out}' if out else ''}"]
    if done.dropped_calls:
        reasons = ", ".join(f"{why} {n}" for why, n in sorted(done.dropped_calls.items()))
        calls = done.dropped_calls.total()
        parts.append(f"not trained: {done.dropped_tokens} tokens of {calls} calls ({reasons})")
    if done.without:
        parts.append(f"{done.without} rollouts have no sequence")
    if done.broken:
        parts.append(f"{len(done.broken)} rollouts left out, whose tokens contradict each other")
    if done.failures:
        what = "attempts" if form == "nemo-gym" else "samples"
        parts.append(f"{done.failures} {what} failed")
    return "; ".join(parts)

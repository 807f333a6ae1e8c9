"""`athlos audit`: whether an engine agrees with the tokens of a run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from athlos.cli.terminal import console, print_json, results_only

if TYPE_CHECKING:
    from athlos.runs.audit import Audit, CallAudit

_EPILOG = """\b
Examples:
  athlos audit runs/a --base-url http://127.0.0.1:8000/v1
  athlos audit runs/a --base-url http://127.0.0.1:8000/v1 --limit 100 --json

\b
Exit codes: 0 everything agrees, 1 something does not or nothing could be compared, 2 a mistake in
the call.
"""


@click.command("audit", epilog=_EPILOG)
@click.argument("run", metavar="RUN")
@click.option("--base-url", metavar="URL", help="Of the server, with /v1. [env: OPENAI_BASE_URL]")
@click.option("--model", metavar="NAME", help="Name at the server. [the run's]")
@click.option("--api-key-env", metavar="VAR", help="Variable that holds the key. [OPENAI_API_KEY]")
@click.option("--tolerance", type=float, default=1e-3, metavar="X", help="In nats. [0.001]")
@click.option("--limit", type=int, metavar="N", help="Look at N rollouts only. [all]")
@click.option("--concurrency", type=int, default=16, metavar="N", help="Requests at once. [16]")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def command(
    run: str,
    base_url: str | None,
    model: str | None,
    api_key_env: str | None,
    tolerance: float,
    limit: int | None,
    concurrency: int,
    as_json: bool,
) -> int:
    """Replay the token sequences of RUN through the engine that sampled them.

    It must have the same weights as then. Compared are the ids that it computes with, and its
    log-probability of every sampled token with that in the record.
    """
    from athlos.models import Model
    from athlos.runs.audit import audit
    from athlos.runs.read import read_rollouts, read_run

    async def replay() -> Audit:
        url, name = base_url, model
        if not url or (Path(run) / "run.json").exists():  # a gateway's folder has none
            spec = read_run(run).spec
            url, name = url or spec.model.base_url, name or spec.model.name
        async with Model(url, name, api_key_env=api_key_env) as engine:
            await engine.connect()
            return await audit(
                read_rollouts(Path(run)), engine,
                tolerance=tolerance, concurrency=concurrency, limit=limit,
            )  # fmt: skip

    with results_only(as_json):
        found = asyncio.run(replay())
    if as_json:
        print_json(
            {
                "passed": found.passed, "ids_equal": found.ids_equal, "rollouts": found.rollouts,
                "sequences": found.sequences, "breaks": found.breaks, "engine": found.engine,
                "tokens": found.tokens, "max": found.worst, "mean": found.mean, "kl": found.kl,
                "tolerance": found.tolerance, "unchecked": found.unchecked, "broken": found.broken,
                "calls": found.calls,
            }
        )  # fmt: skip
    else:
        _show(found)
    return 0 if found.passed else 1


def _show(found: Audit) -> None:
    out = console()
    out.print(
        f"{found.rollouts} rollouts, {found.sequences} sequences, {found.breaks} breaks; "
        f"{len(found.calls)} calls with {found.tokens:,} sampled tokens replayed by {found.engine}"
    )
    if found.calls:
        ids = "every id equal" if found.ids_equal else "other ids than recorded"
        out.print(
            f"{ids}; log-probabilities differ by at most {found.worst:.2g} nats, "
            f"{found.mean:.2g} on average; KL {found.kl:.2g} a token"
        )
    for reason, count in found.unchecked.items():
        out.print(f"{count} calls not compared: {reason}")
    for message in found.broken:
        out.print(message, style="red")
    verdicts: dict[str, list[CallAudit]] = {}
    for fault in found.faults:
        verdicts.setdefault(fault.verdict, []).append(fault)
    for verdict, calls in verdicts.items():
        worst = calls[0]
        out.print(f"{len(calls)} calls: {verdict}", style="red")
        out.print(
            f"  the worst: {worst.worst:.2g} nats, rollout {worst.rollout_id}, call {worst.call}, "
            f"sampled token {worst.place}"
        )
    if not found.calls:
        out.print("nothing to compare: collect with --tokens capture or exact", style="red")

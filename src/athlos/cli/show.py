"""`athlos show`: one task as the model sees it."""

from __future__ import annotations

import asyncio
import sys

import click

from athlos.cli.dotted import DottedCommand

_EPILOG = """\b
Examples:
  athlos show counter
  athlos show math --task 7 --env.level 3
  athlos show mcqa --tasks my_rows.jsonl --json
"""


@click.command("show", cls=DottedCommand, epilog=_EPILOG)
@click.argument("reference", metavar="ENVIRONMENT")
@click.option("--task", default="0", metavar="ID", help="Id or position of the task. [0]")
@click.option("--split", default="test", metavar="NAME", help="Which tasks. [test]")
@click.option("--tasks", metavar="FILE", help="JSONL file of tasks, ours or NeMo Gym's.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def command(
    context: click.Context, reference: str, task: str, split: str, tasks: str | None, as_json: bool
) -> None:
    """Show one task of ENVIRONMENT, its prompt and tools as the model sees them."""
    import msgspec

    from athlos.engine.preview import preview
    from athlos.registry import digest, load

    env = load(reference)
    config = env.make_config(context.meta["dotted"]["env"])
    shown = asyncio.run(preview(env, config, split=split, tasks=tasks, task=task))
    settings = msgspec.to_builtins(config)
    scorers = [scorer._asdict() for scorer in env.scorers]
    if as_json:
        result = {
            "environment": env.name,
            "version": env.version,
            "digest": digest(env),
            "config": settings,
            "scorers": scorers,
            "task": shown,
        }
        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
        return

    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    version = f" {env.version}" if env.version else ""
    console.print(Text(f"{env.name}{version}", "bold"), Text(f"digest {digest(env)}", "dim"))
    console.print(Text((env.__doc__ or "").strip().partition("\n")[0]))
    pairs = ", ".join(f"{key}={value!r}" for key, value in settings.items())
    console.print(Text.assemble(("settings  ", "dim"), pairs or "none"))
    for kind in ("reward", "group_reward", "metric"):
        named = [
            s.name if kind == "metric" or s.weight == 1 else f"{s.name} x {s.weight:g}"
            for s in env.scorers
            if s.kind == kind
        ]
        if named:
            console.print(Text.assemble((f"{kind.replace('_', ' ')}  ", "dim"), ", ".join(named)))
    console.rule(Text(f"task {shown.task_id}", "bold"), align="left")
    for message in shown.messages:
        console.print(Text(message.role, "cyan"))
        console.print(Text(message.text))
        if isinstance(message.content, list):
            others = [str(p.get("type")) for p in message.content if p.get("type") != "text"]
            console.print(Text(f"(parts passed through: {', '.join(others)})", "dim"))
    for tool in shown.tools:
        console.print(Text(f"tool {tool['function']['name']}", "cyan"))
        pretty = msgspec.json.format(msgspec.json.encode(tool["function"]), indent=2)
        console.print(Text(pretty.decode()))
    console.rule(Text("only the verifier sees", "bold"), align="left")
    console.print(Text(msgspec.json.format(msgspec.json.encode(shown.info), indent=2).decode()))

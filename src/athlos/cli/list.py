"""`athlos list`: the environments that can be run by name."""

from __future__ import annotations

import click

from athlos.cli.terminal import console, print_json

_EPILOG = """\b
Examples:
  athlos list
  athlos list --json
"""


@click.command("list", epilog=_EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def command(as_json: bool) -> None:
    """Show the environments of the library, of connectors and of installed packages."""
    from athlos.registry import listing

    entries = list(listing())
    if as_json:
        print_json([entry._asdict() for entry in entries])
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("name", "also", "from", ""):
        table.add_column(name, overflow="fold")
    for entry in entries:
        table.add_row(entry.name, ", ".join(entry.aliases), entry.source, entry.summary)
    console().print(table)

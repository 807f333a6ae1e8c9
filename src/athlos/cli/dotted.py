"""Options whose names the command line cannot know: `--env.KEY VALUE`, `--sampling.KEY VALUE`."""

from __future__ import annotations

from typing import Any

import click

__all__ = ["DottedCommand", "Group"]

_GROUPS = ("env", "sampling")
Group = dict[str, dict[str, Any]]


class DottedCommand(click.Command):
    """A command that finds its dotted options in `context.meta["dotted"]`, by group."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Takes the dotted options out, and leaves the rest to click."""
        rest: list[str] = []
        found: Group = {group: {} for group in _GROUPS}
        words = iter(args)
        for word in words:
            group, dot, name = word.removeprefix("--").partition(".")
            if not (word.startswith("--") and dot and group in _GROUPS):
                rest.append(word)
                continue
            key, equals, value = name.partition("=")
            if not equals:
                following = next(words, None)
                if following is None:
                    raise click.UsageError(f"Option {word} requires a value.", context)
                value = following
            found[group][key] = _value(value) if value else ""
        context.meta["dotted"] = found
        return super().parse_args(context, rest)

    def collect_usage_pieces(self, context: click.Context) -> list[str]:
        """Names them in the usage line."""
        return [*super().collect_usage_pieces(context), "[--env.KEY VALUE]..."]


def _value(text: str) -> Any:
    """A word of the command line as the YAML that it would be in a run file."""
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text

"""Prompts of NeMo Gym that stand in files of their own, and rows that they complete."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from athlos.errors import ConfigError

__all__ = ["complete_rows"]


def complete_rows(
    rows: Iterator[dict[str, Any]], prompt: Mapping[str, Any], where: str
) -> Iterator[dict[str, Any]]:
    """Rows with the input that a prompt configuration makes of their other fields.

    Raises:
        ConfigError: The prompt names a field that a row does not have.
    """
    for number, row in enumerate(rows, 1):
        params = dict(row.get("responses_create_params") or {})
        if not params.get("input"):
            nested = row.get("verifier_metadata")
            fields = {**(nested if isinstance(nested, dict) else {}), **row}
            params["input"] = [
                {
                    "role": role,
                    "content": _filled(str(prompt[role]), fields, f"{where}, row {number}"),
                }
                for role in ("system", "user")
                if prompt.get(role)
            ]
        yield {**row, "responses_create_params": params}


def _filled(template: str, fields: Mapping[str, Any], where: str) -> str:
    def value(found: re.Match[str]) -> str:
        if found[0] in ("{{", "}}"):
            return found[0][0]
        if found[1] not in fields:
            raise ConfigError(f"{where}: the prompt names {found[1]!r}, which is no field of it")
        return str(fields[found[1]])

    return re.sub(r"\{\{|\}\}|\{(\w+)\}", value, template)

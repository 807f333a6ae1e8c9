"""Tools that are known only when a task is there: from a row, a server, or another library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from athlos.errors import ToolError
from athlos.tools import Tool

__all__ = ["DeclaredTool"]


class DeclaredTool(Tool):
    """A tool with a schema from elsewhere; who runs it checks the arguments against it.

    Args:
        name: What the model calls it.
        method: Of the environment; it is called with `name` and `arguments`, a JSON object.
        description: For the model.
        parameters: JSON Schema of the arguments.
        timeout: Seconds.
    """

    __slots__ = ()

    def __init__(
        self,
        name: str,
        method: str,
        *,
        description: str = "",
        parameters: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> None:
        self.name = name
        self.method = method
        self.timeout = timeout
        schema = dict(parameters or {"type": "object", "properties": {}})
        function = {"name": name, "description": description, "parameters": schema}
        self.wire = {"type": "function", "function": function}
        self.encoded = msgspec.json.encode(self.wire)

    def parse(self, arguments: str) -> dict[str, Any]:
        """Turns the JSON text of a model into the arguments of the method.

        Raises:
            ToolError: It is no JSON object.
        """
        try:
            found = msgspec.json.decode(arguments or "{}")
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise ToolError(
                f"The arguments of {self.name} are not valid JSON ({error}). Send one JSON object."
            ) from None
        if not isinstance(found, dict):
            raise ToolError(
                f"The arguments of {self.name} must be a JSON object, not {type(found).__name__}"
            )
        return {"name": self.name, "arguments": found}

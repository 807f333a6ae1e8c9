"""A server of the protocol's own SDK."""

import sys

from mcp.server import MCPServer

app = MCPServer("notes")
kept: list[str] = []


@app.tool()
def keep(text: str, times: int = 1) -> int:
    """Keep a text."""
    kept.extend([text] * times)
    return len(kept)


@app.tool()
def parts() -> list[str]:
    """Say several things."""
    return ["one", "two"]


if __name__ == "__main__" and sys.argv[1:] == []:
    app.run()

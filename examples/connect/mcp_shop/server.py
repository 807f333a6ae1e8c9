"""An MCP server with one tool, of the protocol's own SDK."""

from mcp.server import MCPServer

shop = MCPServer("shop", log_level="ERROR")
basket = []


@shop.tool()
def add(item: str) -> str:
    """Put an item into the basket.

    Args:
        item: What to buy.
    """
    basket.append(item)
    return ", ".join(basket)


shop.run()

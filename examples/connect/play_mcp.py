"""Tools of an MCP server in an environment, and its tools served over MCP in turn.

Needs: pip install 'athlos[mcp,serve]'
"""

import asyncio
import sys
from pathlib import Path

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

import athlos
from athlos.connect.mcp import McpEnvironment, Stdio
from athlos.serve import EnvOptions, Options, Server
from athlos.testing import call, scripted

SHOP = Path(__file__).parent / "mcp_shop" / "server.py"


class Shopping(McpEnvironment):
    """Buy what is asked for."""

    @classmethod
    def tasks(cls, config, split):
        yield athlos.Task(prompt="Buy an apple and a pear.", info={"items": ["apple", "pear"]})

    def servers(self):
        return [Stdio(command=[sys.executable, str(SHOP)])]

    async def call_mcp(self, name, arguments):
        self.seen = await super().call_mcp(name, arguments)
        return self.seen

    @athlos.reward
    def bought(self, rollout: athlos.Rollout) -> float:
        return float(getattr(self, "seen", "").split(", ") == self.task.info["items"])


async def main():
    model = scripted(call("add", item="apple"), call("add", item="pear"), "Done.")
    async for rollout in athlos.collect(Shopping, model):
        print(f"played: reward {rollout.reward:g}")

    options = Options(environments=[EnvOptions("shopping")])
    row = {"responses_create_params": {"input": "Buy."}, "items": ["fig"]}
    http = httpx2.AsyncClient(timeout=60)
    async with Server(options, environments=[Shopping]) as server, http:
        headers = {"authorization": f"Bearer {server.token}"}
        begun = await http.post(f"{server.url}/seed_session", json=row, headers=headers)
        session = begun.headers["athlos-session"]

        # what an agent is given: the address, and a token for the tools of this session
        own = httpx2.AsyncClient(headers={"authorization": f"Bearer {session}"}, timeout=60)
        transport = streamable_http_client(f"{server.url}/mcp", http_client=own)
        async with own, Client(transport) as client:
            print("tools:", [tool.name for tool in (await client.list_tools()).tools])
            await client.call_tool("add", {"item": "fig"})

        said = {"output": [{"type": "message", "role": "assistant", "content": "Done."}]}
        scored = await http.post(
            f"{server.url}/verify", json={**row, "response": said},
            headers={**headers, "athlos-session": session},
        )  # fmt: skip
        print(f"served: reward {scored.json()['reward']:g}")


asyncio.run(main())

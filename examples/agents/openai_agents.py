"""An agent of the OpenAI Agents SDK; its tools come from an MCP server."""

import asyncio
import os
import sys

from agents.mcp import MCPServerStreamableHttp
from openai import AsyncOpenAI

from agents import Agent, OpenAIChatCompletionsModel, Runner, set_tracing_disabled


async def main() -> None:
    set_tracing_disabled(True)
    client = AsyncOpenAI()  # OPENAI_BASE_URL and OPENAI_API_KEY
    model = OpenAIChatCompletionsModel(os.environ.get("ATHLOS_MODEL", "gpt-5-mini"), client)
    key = os.environ["ATHLOS_MCP_KEY"]
    params = {
        "url": os.environ["ATHLOS_MCP_URL"],
        "headers": {"Authorization": f"Bearer {key}"},
        "timeout": 30,
    }
    async with MCPServerStreamableHttp(params, client_session_timeout_seconds=60) as tools:
        agent = Agent("Calculator", instructions="Be exact.", model=model, mcp_servers=[tools])
        result = await Runner.run(agent, sys.stdin.read(), max_turns=10)
    print(result.final_output)


if __name__ == "__main__":
    asyncio.run(main())

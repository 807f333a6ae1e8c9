"""Agents (harnesses): how a model is driven through a task."""

from athlos.agents.base import Agent
from athlos.agents.tool_loop import ToolLoop

__all__ = ["Agent", "ToolLoop"]

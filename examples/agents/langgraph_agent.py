"""A LangGraph agent: a graph of a model and its tools."""

import os
import sys

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def build():
    # OPENAI_BASE_URL and OPENAI_API_KEY
    model = ChatOpenAI(model=os.environ.get("ATHLOS_MODEL", "gpt-5-mini")).bind_tools([add])

    def ask(state: MessagesState) -> dict:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", ask)
    graph.add_node("tools", ToolNode([add]))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    return graph.compile()


def main() -> None:
    question = {"messages": [("user", sys.stdin.read())]}
    result = build().invoke(question, {"recursion_limit": 20})
    print(result["messages"][-1].content)


if __name__ == "__main__":
    main()

"""What `scripts/try-nemo-gym` is about: a model that says what was written, and a configuration."""

from __future__ import annotations

import re
from typing import Any

from athlos.testing.stub.policy import Policy, call_text
from athlos.testing.stub.view import View

__all__ = ["SERVED", "STEPS", "TOOLS", "gym_config", "policy", "question", "script"]

TOOLS, SINGLE, STEPS = "example_session_state_mgmt", "mcqa", "example_multi_turn_gymnasium"
SERVED = (TOOLS, SINGLE)


def question(row: dict[str, Any]) -> str:
    """The first words of a user's in a row, by which the stub knows it."""
    given = row["responses_create_params"]["input"]
    return text_of(next(item["content"] for item in given if item["role"] == "user"))


def text_of(content: Any) -> str:
    """The text of a message's content."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


def script(name: str, number: int, row: dict[str, Any]) -> list[str]:
    """What the model says at a row, turn by turn: right at even ones, wrong at odd ones."""
    right = number % 2 == 0
    if name == TOOLS:
        amounts = [int(word) for word in re.findall(r"\d+", question(row))]
        amounts[-1] += not right
        calls = [call_text("increment_counter", {"count": amount}) for amount in amounts]
        return [*calls, call_text("get_counter_value", {}), "That is the count."]
    if name == SINGLE:
        letter = row["expected_answer"]
        return [f"\\boxed{{{letter if right else 'A' if letter != 'A' else 'B'}}}"]
    return ["Well."] * len(row["follow_ups"]) + [row["expected_answer"] if right else "Pass."]


def policy(replies: dict[str, list[str]]) -> Policy:
    """A policy that goes by the first question of a conversation."""

    def say_next(view: View) -> str:
        asked = next(text_of(m["content"]) for m in view.messages if m["role"] == "user")
        said = replies.get(asked, ["Hello."])  # a client may try out first what there is
        return said[min(view.replies, len(said) - 1)]

    return say_next


def gym_config(ports: dict[str, int], model: str) -> dict[str, Any]:
    """A configuration of NeMo Gym: its agents on environments that Athlos serves, and its own."""
    config: dict[str, Any] = {
        "config_paths": [
            f"resources_servers/{name}/configs/{name}.yaml" for name in (*SERVED, STEPS)
        ]
        + ["responses_api_models/vllm_model/configs/vllm_model.yaml"],
        "policy_base_url": model, "policy_api_key": "none", "policy_model_name": "tiny",
    }  # fmt: skip
    for name, port in ports.items():
        server, agent = f"athlos_{name}", f"athlos_{name}_agent"
        place = {"host": "127.0.0.1", "port": port}  # where `athlos serve` is already
        config[server] = {
            "resources_servers": {
                "athlos_serve": {"entrypoint": "wait.py", "domain": "other", **place}
            }
        }
        config[agent] = {
            "responses_api_agents": {
                "simple_agent": {
                    "entrypoint": "app.py",
                    "resources_server": {"type": "resources_servers", "name": server},
                    "model_server": {"type": "responses_api_models", "name": "policy_model"},
                }
            }
        }
        config[f"{agent}_environment"] = {
            "environment_servers": {
                "legacy_agent": {
                    "entrypoint": "app.py",
                    "agent_server": {"type": "responses_api_agents", "name": agent},
                }
            }
        }
    return config

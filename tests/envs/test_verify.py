"""`POST /verify` of a served environment, with rows and responses in NeMo Gym's shape."""

import asyncio
import json

import pytest
from tests.serve.helpers import Caller, serving

TOOLS = [{"type": "function", "name": "find", "description": "Find.", "strict": True,
          "parameters": {"type": "object", "properties": {"query": {"type": "string"}},
                         "required": ["query"]}}]  # fmt: skip


def say(text):
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "role": "assistant", "id": "m", "status": "completed",
            "content": content}  # fmt: skip


def think(text):
    summary = [{"type": "summary_text", "text": text}]
    return {"type": "reasoning", "id": "r", "summary": summary}


def call(name, number=0, **arguments):
    return {"type": "function_call", "call_id": f"c{number}", "id": f"c{number}", "name": name,
            "arguments": json.dumps(arguments), "status": "completed"}  # fmt: skip


def gave(output, number=0):
    return {"type": "function_call_output", "call_id": f"c{number}", "output": output}


FIND = call("find", query="alpha")
ACTION = {"type": "function_call", "name": "find", "arguments": '{"query": "alpha"}'}
EVENT = '[{"event_id": 0, "start_time": "9am", "duration": 60}]'
LIMITS = {"event_id": 0, "duration": 60, "constraint": "before 11am", "min_time": "9am",
          "max_time": "6pm"}  # fmt: skip
GRIDS = {"train": [{"input": [[1]], "output": [[2]]}], "test_input": [[1, 2]],
         "expected_output": [[2, 1]], "task_id": "t"}  # fmt: skip
MRCR = {"expected_answer": "Xy The sea.", "random_string_to_prepend": "Xy", "n_needles": 2,
        "n_tokens": 9}  # fmt: skip
TWO = "the red fox"

CASES = [  # environment, fields of the row, output, reward
    ("xlam_fc", {"expected_answers": [{"name": "find", "arguments": {"query": "alpha"}}]},
     [FIND], 1),
    ("xlam_fc", {"expected_answers": [{"name": "find", "arguments": {"query": "alpha"}}]},
     [FIND, call("nope", 1)], 0),
    ("xlam_fc", {"expected_answers": []}, [say("No tool fits.")], 1),
    ("single_step_tool_use_with_argument_comparison", {"expected_action": ACTION},
     [say("Let me see."), FIND], 1),
    ("single_step_tool_use_with_argument_comparison", {"expected_action": ACTION},
     [say("alpha")], 0),
    ("single_step_tool_use_with_argument_comparison",
     {"expected_action": {"type": "message", "content": "Hi."}}, [say("Good day.")], 1),
    ("example_multi_step", {"id": 1, "expected_synonym_values": [195], "minefield_label": "x",
                            "minefield_label_value": 120},
     [call("get_synonym_value", synonym="ab"), gave('{"synonym_value":195}'),
      call("extract_synonym_values", 1, synonym_values=[195]), gave('{"success":true}', 1),
      say("Done.")], 1),
    ("example_session_state_mgmt", {"initial_count": 3, "expected_count": 5},
     [call("increment_counter", count=2), gave('{"success":true}'),
      call("get_counter_value", 1), gave('{"count":5}', 1), say("5")], 1),
    ("example_session_state_mgmt", {"initial_count": 3, "expected_count": 5}, [say("5")], 0),
    ("example_tool_call_multireward",
     {"expected_call": {"name": "find", "arguments": {"query": "alpha"}}}, [FIND], 3),
    ("example_tool_call_multireward",
     {"expected_call": {"name": "find", "arguments": {"query": "beta"}}}, [FIND, say("So.")], 1),
    ("math_advanced_calculations", {"ground_truth": "[5.2]", "id": 1, "depth": 1, "breadth": 1},
     [call("add", a=1, b=3), gave('{"solution":5.2}'), say("It is 5.2.")], 1),
    ("math_advanced_calculations", {"ground_truth": "[5.2]", "id": 1, "depth": 1, "breadth": 1},
     [say("It is 5.2.")], 0),
    ("calendar", {"exp_cal_state": {"0": LIMITS}}, [think("hm"), say(EVENT)], 1),
    ("calendar", {"exp_cal_state": {"0": LIMITS}}, [think(EVENT)], 0),
    ("calendar", {"exp_cal_state": {}}, [say("Noted.")], 1),
    ("ruler", {"outputs": ["a1", "b2"], "subset": "vt", "length": 9}, [say("It is A1.")], 0.5),
    ("ruler", {"outputs": ["a1", "b2"], "subset": "qa_1", "length": 9}, [say("It is A1.")], 1),
    ("ruler2", {"expected_answer": [TWO], "match_type": "all"}, [say("the blue fox")], 2 / 3),
    ("ruler2", {"expected_answer": "B", "eval_type": "multichoice"}, [say(r"\boxed{B}")], 1),
    ("mrcr", MRCR, [say("Xy The sea.")], 1),
    ("mrcr", MRCR, [say("The sea.")], 0),
    ("graphwalks", {"expected_answer": '["a", "b"]', "problem_type": "bfs"},
     [say("So.\nFinal Answer: [a, c]")], 0.5),
    ("lc_niah", {"expected_answer": '["a"]'},
     [think("What now?!"), say('Final Answer: ["a"]')], 0),
    ("lc_niah", {"expected_answer": '["a"]'}, [think("zzz"), say("Final Answer: [a]")], 1),
    ("arc_agi", GRIDS, [say(r"\boxed{[[2, 1]]}")], 1),
    ("arc_agi", GRIDS, [say("[[1, 2]] [[2, 1]]")], 0),
    ("nvarc", GRIDS, [say("2 1")], 1),
    ("nvarc", {**GRIDS, "agent_mode": "inductive"}, [say("2 1")], 0),
]  # fmt: skip


@pytest.mark.parametrize("nested", [False, True], ids=["top", "nested"])
def test_rows_of_either_shape_earn_what_the_rules_say(nested):
    async def main():
        names = list(dict.fromkeys(name for name, *_ in CASES))
        found = []
        async with serving(*names) as server:
            post = Caller(server).post
            for name, fields, output, _ in CASES:
                params = {"input": [{"role": "user", "content": "What now?!"}]}
                if name in ("xlam_fc", "example_tool_call_multireward") or "single" in name:
                    params["tools"] = TOOLS
                row = {"responses_create_params": params,
                       "agent_ref": {"type": "responses_api_agents", "name": "x"}}  # fmt: skip
                row |= {"verifier_metadata": fields} if nested else fields
                answer = await post(f"/{name}/verify", {**row, "response": {"output": output}})
                assert answer.status == 200, answer.text
                found.append(answer.json["reward"])
        return found

    rewards = asyncio.run(main())
    for (name, fields, output, expected), reward in zip(CASES, rewards, strict=True):
        assert reward == pytest.approx(expected), (name, fields, output)

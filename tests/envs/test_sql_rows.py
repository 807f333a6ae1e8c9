"""Rows of the SQL environments in NeMo Gym's shape, over HTTP: fields nested or at the top."""

import asyncio

import pytest
from tests.envs.databases import fenced
from tests.serve.helpers import Caller, serving

from athlos.envs.sql_questions import sql_question

ASKED = sql_question("a row", 1, 2, least_rows=2)
BIRD = {
    "question": ASKED.text, "gt_sql": ASKED.sql, "db_id": ASKED.database,
    "difficulty": "moderate", "id": 7, "sql_context": "CREATE TABLE ...",
}  # fmt: skip
SPIDER = {
    "question": ASKED.text, "gold_sql": ASKED.sql, "db_id": ASKED.database,
    "instance_id": "local007", "ignore_order": True, "condition_cols": [],
}  # fmt: skip
RESULT = {**SPIDER, "gold_sql": None, "gold_result": [[["x"]], ASKED.rows]}

CASES = [  # environment, fields of the row, text, reward, reason
    ("bird_sql", BIRD, fenced(ASKED.sql), 1, "none"),
    ("bird_sql", BIRD, fenced("SELECT 2"), 0, "execution_error"),
    ("bird_sql", BIRD, ASKED.sql, 0, "no_sql_extracted"),
    ("bird_sql", {**BIRD, "gt_sql": "SELECT nothing"}, fenced("SELECT 2"), 0,
     "gold_execution_error"),
    ("spider2_lite", SPIDER, fenced(ASKED.sql), 1, "none"),
    ("spider2_lite", SPIDER, f"{ASKED.sql};", 1, "none"),
    ("spider2_lite", SPIDER, fenced("SELECT 2"), 0, "execution_error"),
    ("spider2_lite", RESULT, fenced(ASKED.sql), 1, "none"),
    ("spider2_lite", RESULT, fenced("SELECT 'x', 1"), 1, "none"),
    ("spider2_lite", RESULT, "Nothing.", 0, "no_sql_extracted"),
]  # fmt: skip


def say(text):
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "role": "assistant", "id": "m", "status": "completed",
            "content": content}  # fmt: skip


@pytest.mark.parametrize("nested", [False, True], ids=["top", "nested"])
def test_rows_of_either_shape_earn_what_the_rules_say(nested):
    async def main():
        found = []
        async with serving("bird_sql", "spider2_lite") as server:
            post = Caller(server).post
            for name, fields, text, *_ in CASES:
                row = {"responses_create_params": {"input": [{"role": "user", "content": "?"}]}}
                row |= {"verifier_metadata": fields} if nested else fields
                body = {**row, "response": {"output": [say(text)]}}
                answer = await post(f"/{name}/verify", body)
                assert answer.status == 200, answer.text
                found.append(answer.json)
        return found

    for case, verdict in zip(CASES, asyncio.run(main()), strict=True):
        assert verdict["reward"] == case[3], case
        assert verdict["failure_reason"] == case[4], case

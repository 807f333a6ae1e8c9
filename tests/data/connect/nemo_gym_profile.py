"""Reads the files of an export with NeMo Gym's own types and reward profile; prints its figures."""

import json
import sys
from pathlib import Path

from nemo_gym.base_resources_server import BaseRunRequest, BaseVerifyResponse
from nemo_gym.reward_profile import RewardProfiler

PLACE = ("_ng_task_index", "_ng_rollout_index")


def read(path):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return sorted(rows, key=lambda row: [row[name] for name in PLACE])


out = Path(sys.argv[1])
rows = read(out)
inputs = read(out.with_name(f"{out.stem}_materialized_inputs.jsonl"))
for row in rows:
    BaseVerifyResponse.model_validate(row)
for row in inputs:
    BaseRunRequest.model_validate(row)
profiler = RewardProfiler()
profiled = profiler.profile_from_data(inputs, rows)  # since 0.7 with figures over repeats, too
groups, agents = map(profiler.prepare_for_serialization, profiled[:2])
print(json.dumps({"groups": groups, "agents": agents}))

"""The same rollouts by other systems, for `others.py`; runs in the Python that has them.

Each function does a system's nearest equivalent of `rollouts.py`: the same question, the same
check of the answer, the same tool, results written to disk. It imports nothing of Athlos.
"""

import asyncio
import importlib.metadata
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from common import Clock, allow_files, child_arguments, peak_mb

PROMPT = "Solve 3x + 7 = 43 for x. Think step by step and put the answer into a box."
MODEL = "fake-model"


async def add(amount: int) -> int:
    """Add an amount.

    Args:
        amount: What to add.
    """
    return amount


def inspect_ai(url: str, shape: str, rollouts: int, in_flight: int, clock: Clock) -> int:
    """`inspect_ai.eval`: `generate` or `use_tools` + `generate`, scored by `includes`; a log file.

    Its own limits on concurrency are raised to what is asked for, and its terminal display is off.
    """
    import inspect_ai
    from inspect_ai.dataset import Sample
    from inspect_ai.model import get_model
    from inspect_ai.scorer import includes
    from inspect_ai.solver import generate, use_tools
    from inspect_ai.tool import tool

    @tool(name="add")
    def adder() -> Callable[..., Any]:
        return add

    model = get_model(f"openai/{MODEL}", base_url=url, api_key="fake", responses_api=False)

    def run(shape: str, rollouts: int, folder: str) -> int:
        samples = [Sample(input=PROMPT, target="12", id=index) for index in range(rollouts)]
        solver = [use_tools(adder()), generate()] if shape == "tools" else [generate()]
        task = inspect_ai.Task(dataset=samples, solver=solver, scorer=includes())
        (log,) = inspect_ai.eval(
            task,
            model=model,
            log_dir=folder,
            display="none",
            max_connections=in_flight,
            max_samples=in_flight,
        )
        assert log.status == "success", log.error
        assert log.results is not None
        return log.results.completed_samples

    with tempfile.TemporaryDirectory() as folder:
        run("single", in_flight, folder)
        clock.start()
        done = run(shape, rollouts, folder)
        clock.stop()
    return done


def verifiers(url: str, shape: str, rollouts: int, in_flight: int, clock: Clock) -> int:
    """`SingleTurnEnv` or `ToolEnv` of verifiers 0.1, in process; `evaluate` with saved results."""
    os.environ["FAKE_KEY"] = "fake"
    import verifiers as vf
    from datasets import Dataset
    from verifiers.types import ClientConfig

    def correct(completion: Any, answer: str) -> float:
        return float(answer in str(completion[-1].content))

    def environment(shape: str, rollouts: int) -> Any:
        rows = {"question": [PROMPT] * rollouts, "answer": ["12"] * rollouts}
        common = {"eval_dataset": Dataset.from_dict(rows), "rubric": vf.Rubric(funcs=[correct])}
        if shape == "tools":
            return vf.ToolEnv(tools=[add], max_turns=10, **common)
        return vf.SingleTurnEnv(**common)

    def evaluation(env: Any, rollouts: int, folder: Path) -> Any:
        return env.evaluate(
            client=ClientConfig(api_base_url=url, api_key_var="FAKE_KEY"),
            model=MODEL,
            num_examples=rollouts,
            max_concurrent=in_flight,
            save_results=True,
            results_path=folder,
            on_start=lambda *_: None,
            on_progress=[],
            on_log=lambda *_: None,
        )

    async def run(folder: str) -> int:
        await evaluation(environment("single", in_flight), in_flight, Path(folder) / "warm-up")
        env = environment(shape, rollouts)
        clock.start()
        results = await evaluation(env, rollouts, Path(folder) / "run")
        clock.stop()
        outputs = results["outputs"]
        return sum(output["reward"] == 1.0 and output["error"] is None for output in outputs)

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(run(folder))


SYSTEMS = {"inspect_ai": inspect_ai, "verifiers": verifiers}


def main() -> None:
    """Says which systems are there, or measures one; prints JSON."""
    arguments = child_arguments() or {}
    if "system" not in arguments:
        found = [name for name in SYSTEMS if importlib.util.find_spec(name)]
        print(json.dumps({name: importlib.metadata.version(name) for name in found}))
        return
    allow_files(arguments["in_flight"])
    clock = Clock()
    run = SYSTEMS[arguments.pop("system")]
    done = run(**arguments, clock=clock)
    assert done == arguments["rollouts"], f"only {done} rollouts"
    us = clock.cpu / done * 1e6
    print("\n" + json.dumps({"us": us, "wall_s": clock.wall, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()

"""What docs/training/stream.md shows runs."""

import asyncio
import re
from pathlib import Path

from athlos import Model
from athlos.models.engines import Completion
from athlos.train import Batch, Projection, TrainingGroup, TrainingRollout

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs/training/stream.md"
TINY = str(ROOT / "tests/data/tiny")


async def engine(prompt_ids, sampling):
    return Completion(token_ids=[65, 2041], logprobs=[-0.7, -0.1])


def shown():
    names = {}
    for source in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S):
        exec(source, names)
    return names


def test_the_code_of_the_page_runs(capsys):
    names = shown()
    asyncio.run(names["main"](engine, TINY))
    assert capsys.readouterr().out.count("32 rollouts") == 3
    model = Model.in_process(engine, TINY, context=512)
    groups = asyncio.run(names["ask"](names["Vowels"], model))
    assert [len(group.rollouts) for group in groups] == [4, 4, 4]
    assert {len(one.sequences) for group in groups for one in group.rollouts} == {1}


def test_what_a_trainer_gets_is_described():
    page = PAGE.read_text()
    for kind in (Batch, TrainingGroup, TrainingRollout, Projection):
        for name in kind.__struct_fields__:
            hidden = {"task", "counted", "advantage", "dropped", "clean", "realigned", "forked"}
            assert f"`{name}`" in page or name in hidden, f"{kind.__name__}.{name}"

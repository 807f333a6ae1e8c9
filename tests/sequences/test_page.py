"""What the page on sequences shows runs, and names every field, reason, rule and option."""

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

from athlos import Sequence
from athlos.runs.export import MessagesRow, SequenceRow
from athlos.sequences import AdvantageMode, Built
from athlos.sequences.check import RULES
from athlos.sequences.report import Reason
from athlos.types import SequencePolicy

PAGE = (Path(__file__).parents[2] / "docs/sequences.md").read_text()
DATASETS = (Path(__file__).parents[2] / "docs/training/datasets.md").read_text()


def test_the_example_prints_what_the_page_says():
    source, printed = re.search(
        r"```python\n(.*?)```\n\nprints\n\n```text\n(.*?)```", PAGE, re.DOTALL
    ).groups()
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (printed, "")


def test_every_field_is_on_the_page():
    for kind in (Sequence, Built, SequenceRow, MessagesRow):
        for name in kind.__struct_fields__:
            assert f"`{name}`" in PAGE, f"{kind.__name__}.{name}"


def test_every_choice_is_on_the_page():
    for name in (*get_args(SequencePolicy), *get_args(AdvantageMode), *get_args(Reason)):
        assert f"`{name}`" in PAGE, name
    for rule in RULES:
        assert f"| {rule} |" in PAGE


def test_the_options_are_those_of_the_command(athlos):
    options = set(re.findall(r"^ +--([a-z-]+)", athlos("export", "--help").stdout, re.MULTILINE))
    shown = set(re.findall(r"^\| `--([a-z-]+)`", PAGE + DATASETS, re.MULTILINE))
    assert options - {"help"} == shown

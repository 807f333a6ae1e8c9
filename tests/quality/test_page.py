"""What the page on the gate shows is true."""

import re
from pathlib import Path

from athlos.testing import check_environment

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/environments/quality.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_environment_of_the_page_is_caught_and_its_exception_excuses_it(tmp_path):
    shown = [block for block in BLOCKS if "Thermostat" in block]
    (tmp_path / "shown.py").write_text("\n\n".join(shown))
    report = check_environment(f"{tmp_path}/shown.py:Thermostat", limit=10, processes=0)
    assert {f.code.partition(".")[0] for f in report.errors} == {"attack", "tasks"}
    assert all(f.task == "20" for f in report.errors if f.code == "attack.empty")
    report = check_environment(f"{tmp_path}/shown.py:Thermostat2", limit=10, processes=0)
    assert {f.code for f in report.errors} == {"tasks.splits"}
    assert report.excused


def test_the_test_of_the_page_runs():
    (source,) = (block for block in BLOCKS if "def test_" in block)
    names = {}
    exec(source, names)
    names["test_the_verifier_holds"]()
    assert "check_environment" in names


def test_every_attack_is_on_the_page():
    from athlos.quality.attacks import MEANINGS

    assert {name for name in MEANINGS if f"`attack.{name}`" not in PAGE} == set()

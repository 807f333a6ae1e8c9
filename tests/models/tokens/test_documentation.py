import re
from pathlib import Path

from tests.models.tokens.families import TINY

PAGE = Path(__file__).parents[3] / "docs" / "token-truth.md"


def test_the_example_of_the_page_runs():
    [source] = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    names = {}
    exec(source.replace("models/my-model", str(TINY)), names)
    assert names["following"].how == "suffix"
    assert names["reply"].content == "It is 4."

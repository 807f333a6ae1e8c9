import re
from pathlib import Path

from tests.models.tokens.families import TINY

PAGE = Path(__file__).parents[3] / "docs" / "token-truth.md"


def test_the_examples_of_the_page_run():
    names = {}
    for source in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        exec(source.replace("models/my-model", str(TINY)), names)
    assert names["exact"].tokens.settings()["mode"] == "exact"
    assert names["following"].how == "suffix"
    assert names["reply"].content == "It is 4."

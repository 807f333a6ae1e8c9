"""The table of the library in the documentation is made from the library."""

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "library.py"


def test_the_table_is_up_to_date():
    spec = importlib.util.spec_from_file_location("library_table", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    text = script.PAGE.read_text()
    assert script.page(text) == text, "run .venv/bin/python scripts/library.py"

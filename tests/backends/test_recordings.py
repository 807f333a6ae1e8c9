"""The recorded replies and the tiny tokenizer are whole, and the notes on them complete."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
RECORDED = TESTS / "data" / "recorded" / "vllm"
TINY = TESTS / "data" / "tiny"
FILES = sorted(RECORDED.glob("*.json"))


def exchanges(path):
    found = json.loads(path.read_text(encoding="utf-8"))
    return found.get("steps") or [found]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_recording_has_requests_and_replies(path):
    for exchange in exchanges(path):
        assert exchange["request"]["method"] in ("GET", "POST")
        assert exchange["request"]["path"].startswith("/")
        reply = exchange["reply"]
        assert ("body" in reply) != ("text" in reply)
        assert (reply["status"] >= 400) == path.stem.startswith("error_")


def test_the_table_names_each_recording():
    lines = (RECORDED / "README.md").read_text(encoding="utf-8").splitlines()
    firsts = [line.split("|")[1] for line in lines if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", "".join(firsts))) == {path.stem for path in FILES}


def test_the_recorded_tokens_are_of_the_committed_tokenizer():
    tokenizer = json.loads((TINY / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"] | {
        token["content"]: token["id"] for token in tokenizer["added_tokens"]
    }
    [exchange] = exchanges(RECORDED / "tokenize_tools.json")
    body = exchange["reply"]["body"]
    assert [vocabulary[token] for token in body["token_strs"]] == body["tokens"]


def test_the_committed_template_is_that_of_the_script():
    spec = importlib.util.spec_from_file_location(
        "tiny_model", TESTS.parent / "scripts" / "tiny_model.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    settings = json.loads((TINY / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert settings["chat_template"] == module.CHAT_TEMPLATE

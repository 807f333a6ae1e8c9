"""Questions on long texts."""

from tests.serve.rules.asking import Case, say, think

RULER = [
    Case(
        "the share of the outputs",
        {"outputs": ["a1", "b2"], "subset": "vt", "length": 9},
        "It is a1.",
        0.5,
    ),
    Case(
        "case does not matter",
        {"outputs": ["a1", "b2"], "subset": "niah_single_1", "length": 9},
        "A1 and B2",
        1,
    ),
    Case("none", {"outputs": ["a1"], "subset": "cwe", "length": 9}, "b2", 0),
    Case("inside of a word as well", {"outputs": ["a1"], "subset": "fwe", "length": 9}, "xa1x", 1),
    Case("any one of documents", {"outputs": ["a1", "b2"], "subset": "qa_1", "length": 9}, "b2", 1),
    Case(
        "any one of documents, two steps",
        {"outputs": ["a1", "b2"], "subset": "qa_2", "length": 9},
        "a1",
        1,
    ),
    Case("none of documents", {"outputs": ["a1"], "subset": "qa_1", "length": 9}, "no", 0),
    Case(
        "all messages are read",
        {"outputs": ["a1", "b2"], "subset": "vt", "length": 9},
        ["a1", "b2"],
        1,
    ),
    Case(
        "two of three",
        {"outputs": ["a1", "b2", "c3"], "subset": "niah_multivalue", "length": 9},
        "c3, a1",
        2 / 3,
    ),
    Case(
        "a listed answer",
        {"outputs": ["a1", "b2"], "subset": "vt", "length": 9, "listed": 2},
        "Answer: a1, b2",
        1,
    ),
    Case(
        "a listed answer may not be longer",
        {"outputs": ["a1"], "subset": "vt", "length": 9, "listed": 1},
        "Answer: a1, b2",
        0,
    ),
    Case(
        "nor stand elsewhere",
        {"outputs": ["a1"], "subset": "vt", "length": 9, "listed": 1},
        "a1",
        0,
    ),
]
FOX = "the red fox"


def soft(rule, expected, match, answer, reward):
    return Case(rule, {"expected_answer": expected, "match_type": match}, answer, reward)


RULER2 = [
    soft("the text is there", [FOX], "all", "I saw The Red Fox there.", 1),
    soft("else one less the word error rate", [FOX], "all", "the blue fox", 2 / 3),
    soft("which is at least nothing", [FOX], "all", "a b c d e f g h", 0),
    soft("the mean of all", [FOX, "a hen"], "all", "the red fox", 0.5),
    soft("the best of all", [FOX, "a hen"], "part", "the red fox", 1),
    soft("the last paragraph, in two steps", [FOX], "2steps", "a hen\n\nthe red fox", 1),
    soft("and no other", [FOX], "2steps", "the red fox\n\nnothing of that kind here now", 0),
    Case("all is the default", {"expected_answer": [FOX, "a hen"]}, "the red fox", 0.5),
    Case("a letter", {"expected_answer": "B", "eval_type": "multichoice"}, r"So \boxed{B}.", 1),
    Case("another letter", {"expected_answer": "B", "eval_type": "multichoice"}, r"\boxed{C}", 0),
    Case("no letter", {"expected_answer": "B", "eval_type": "multichoice"}, "tin", 0),
    soft("one text in place of a list", FOX, "all", "the red fox", 1),
    soft("a word too many", [FOX], "all", "the red old fox", 2 / 3),
]
NEEDLE = {"expected_answer": "Xy abcd", "random_string_to_prepend": "Xy ", "n_needles": 2,
          "n_tokens": 9}  # fmt: skip
MRCR = [
    Case("word for word", NEEDLE, "Xy abcd", 1),
    Case("the ratio without what comes before", NEEDLE, "Xy bcde", 0.75),
    Case("it must begin with that", NEEDLE, "abcd", 0),
    Case("at the beginning and nowhere else", NEEDLE, "abcd Xy abcd", 0),
    Case("nothing behind it", NEEDLE, "Xy ", 0),
    Case("case matters there", NEEDLE, "xY abcd", 0),
    Case("case matters behind it", NEEDLE, "Xy ABCD", 0),
    Case("half of it", NEEDLE, "Xy ab", 2 / 3),
    Case("twice", NEEDLE, "Xy abcdabcd", 2 / 3),
    Case("spaces around it do not matter", NEEDLE, "\n Xy abcd \n", 1),
    Case("all messages are one text", NEEDLE, ["Xy ", "abcd"], 1),
    Case("reasoning is not read", NEEDLE, [think("Xy abcd"), "abcd"], 0),
]


def walk(rule, expected, answer, reward):
    return Case(rule, {"expected_answer": expected, "problem_type": "bfs"}, answer, reward)


WALKS = [
    walk("all nodes, in any order", '["a", "b"]', "Final Answer: [b, a]", 1),
    walk("F1", '["a", "b"]', "So.\nFinal Answer: [a, c]", 0.5),
    walk("F1 of fewer", '["a", "b"]', "Final Answer: [a]", 2 / 3),
    walk("a node twice is one", '["a", "b"]', "Final Answer: [a, a, b]", 1),
    walk("a list in the row", ["a"], "Final Answer: [a]", 1),
    walk("none expected and none found", "[]", "Final Answer: []", 1),
    walk("none found", '["a"]', "Final Answer: []", 0),
    walk("the last line that is not empty", '["a"]', "Final Answer: [a]\n\n  \n", 1),
    walk("no line but the last", '["a"]', "Final Answer: [a]\nThat is it.", 0),
    walk("no list", "[]", "There is none.", 0),
    walk("a list that stays open", '["a"]', "Final Answer: [a", 0),
    walk("other words before the list", '["a"]', "final answer: [a]", 0),
]
DEPOTS = {"expected_answer": '["a"]'}
PROMPT = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen " \
    "fifteen sixteen seventeen"  # fmt: skip
ALL = think(PROMPT)


def overlap(rule, thought, reward, answer="Final Answer: [a]", **settings):
    said = [think(thought), answer] if thought else [answer]
    return Case(rule, DEPOTS, said, reward, settings=settings, prompt=PROMPT)


SEQ, NGRAM = {"overlap_metric_rule": "seq_match"}, {"overlap_metric_rule": "ngram16"}
LC_NIAH = [
    overlap("nothing thought, nothing copied", "", 1),
    overlap("everything copied", PROMPT, 0),
    overlap("the longest passage, of what was thought", "xx one two", 3 / 10),
    overlap("quotes are taken off", "", 1, answer='Final Answer: ["a"]'),
    overlap("F1", "", 2 / 3, answer="Final Answer: [a, b]"),
    overlap(
        "F1 times what was not copied", PROMPT[:10] + "x" * 10, 1 / 3, answer="Final Answer: [a, b]"
    ),
    overlap("less the overlap", PROMPT[:10] + "x" * 10, 0.5, overlap_grading_rule="minus"),
    overlap("as it is", PROMPT, 1, overlap_grading_rule="base"),
    overlap("runs of sixteen words", f"{PROMPT} x", 1 / 3, **NGRAM),
    overlap("shorter runs do not count", "one two three", 1, **NGRAM),
    overlap("the ratio of difflib", PROMPT, 0, **SEQ),
    overlap("the ratio of nothing in common", "0 0 0", 1 - 2 * 2 / (5 + len(PROMPT)), **SEQ),
    Case("blocks of a message", DEPOTS, say("Final Ans", "wer: [a]"), 1),
]

CASES = {
    "ruler": RULER, "ruler2": RULER2, "mrcr": MRCR, "graphwalks": WALKS,
    "lc_niah": [*[case for case in WALKS if case.reward in (0, 1)], *LC_NIAH],
}  # fmt: skip

"""Texts that must follow instructions, as programs can check."""

from tests.serve.rules.asking import Case, say, think

COMMA = ("punctuation:no_comma", None)
TITLE = ("detectable_format:title", {})
MANY = ("length_constraints:number_words", {"num_words": 3, "relation": "at least", "N": None})


def asked(*instructions, **more):
    return {
        "instruction_id_list": [name for name, _ in instructions],
        "kwargs": [kwargs for _, kwargs in instructions],
        "prompt": "Write something.",
        "id": 7,
    } | more


def share(*instructions):
    return asked(*instructions, grading_mode="fraction")


def whole(*instructions):
    return asked(*instructions, grading_mode="binary")


# id, arguments, a text that follows, one that does not
EACH = [
    ("keywords:existence", {"keywords": ["owl", "elk"]}, "An owl, an elk.", "An owl."),
    (
        "keywords:frequency",
        {"keyword": "owl", "frequency": 2, "relation": "at least"},
        "owl and owl",
        "owl",
    ),
    ("keywords:forbidden_words", {"forbidden_words": ["owl"]}, "An elk.", "An owl."),
    (
        "keywords:letter_frequency",
        {"letter": "q", "let_frequency": 2, "let_relation": "at least"},
        "qq",
        "q",
    ),
    (
        "language:response_language",
        {"language": "de"},
        "Das ist ein ganz gewöhnlicher deutscher Satz.",
        "This is a quite ordinary English sentence.",
    ),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 2, "relation": "less than"},
        "One only.",
        "One. Two.",
    ),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a\n***\nb", "a"),
    ("length_constraints:number_words", {"num_words": 3, "relation": "less than"}, "a b", "a b c"),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "owl"},
        "a\n\nOwl b",
        "Owl a\n\nb",
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[a] [b]", "[a]"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "a\nP.S. b", "a"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n* b", "* a"),
    ("detectable_format:constrained_response", {}, "My answer is yes.", "Yes."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* *b*", "*a*"),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "PART", "num_sections": 2},
        "PART 1 a PART 2 b",
        "a",
    ),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "a"),
    ("detectable_format:title", {}, "<<a>> b", "a"),
    ("combination:two_responses", {}, "a ****** b", "a"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say it."}, "Say it. So.", "So."),
    ("startend:end_checker", {"end_phrase": "the end"}, "It is The End", "The end it is"),
    ("startend:quotation", {}, '"a b"', "a b"),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "at least"},
        "OWL and ELK",
        "OWL",
    ),
    ("change_case:english_capital", {}, "THIS IS AN ENGLISH SENTENCE.", "This is one."),
    ("change_case:english_lowercase", {}, "this is an english sentence.", "This is one."),
    ("punctuation:no_comma", {}, "a b", "a, b"),
    (
        "first_word:first_word_sent",
        {"first_word": "owl"},
        "Owl sits. Owl flies.",
        "Owl sits. Elk runs.",
    ),
    ("last_word:last_word_answer", {"last_word": "owl"}, "It is an owl.", "An owl it is."),
    ("count:lowercase_counting", {"N": 2}, "a b CD", "a b c d"),
    ("letters:letter_counting", {"N": 5, "relation": "at least"}, "abcde", "abcd"),
    ("paragraphs:paragraphs", {}, "a\n***\nb", "a"),
]
UNUSUAL = [
    (
        "count:keywords_multiple",
        {
            "keyword1": "owl",
            "keyword2": "elk",
            "keyword3": "fox",
            "keyword4": "hen",
            "keyword5": "cat",
        },
        "owl elk elk fox fox fox" + " hen" * 5 + " cat" * 7,
        "owl elk fox hen cat",
    ),
    ("count:person_names", {"N": 2}, "Emma met Liam.", "Emma met him."),
    ("ratio:stop_words", {"percentage": 30}, "Owls hunt mice", "it is the one that we had"),
    ("words:start_verb", {}, "Go home.", "Home we go."),
    ("format:title_case", {}, "An Owl Sits Here", "an owl sits here"),
    ("format:line_indent", {}, "a\n b\n  c", "a\nb\nc"),
]


def cases_of(table):
    for name, arguments, good, bad in table:
        yield Case(f"{name}, followed", whole((name, arguments)), good, 1)
        yield Case(f"{name}, not followed", whole((name, arguments)), bad, 0)


BOTH = [
    Case(
        "a share of the instructions",
        share(COMMA, TITLE),
        "No title.",
        0.5,
        also={"follow_instruction_list": [True, False], "follow_all_instructions": False},
    ),
    Case("all of them is a share of 1", share(COMMA, TITLE), "<<a>>", 1),
    Case(
        "all or nothing",
        whole(COMMA, TITLE),
        "No title.",
        0,
        also={"follow_instruction_list": [True, False]},
    ),
    Case("all of them", whole(COMMA, TITLE), "<<a>>", 1, also={"follow_all_instructions": True}),
    Case("arguments may be null", whole(COMMA), "a", 1),
    Case("arguments that are null are left out", whole(MANY), "a b c", 1),
    Case(
        "an instruction that is not known is not followed", share(COMMA, ("no:such", {})), "a", 0.5
    ),
    Case("nor is one whose check fails", share(COMMA, ("keywords:existence", {})), "a", 0.5),
    Case("the last message is read", whole(COMMA), ["a, b", "a b"], 1),
    Case("and no other", whole(COMMA), ["a b", "a, b"], 0),
    Case("of it, the first block", whole(COMMA), say("a b", "a, b"), 1),
    Case("and no other block", whole(COMMA), say("a, b", "a b"), 0),
    Case("reasoning before it is not read", whole(COMMA), [think("a, b"), "a b"], 1),
    Case("reasoning behind it leaves nothing to read", whole(COMMA), ["a b", think("a b")], 0),
    Case(
        "what is nested wins",
        {**whole(TITLE), "verifier_metadata": whole(COMMA)},
        "a",
        1,
        only="top",
    ),
]
LOOSE = [
    Case("the share is the default", asked(COMMA, TITLE), "No title.", 0.5),
    Case(
        "the reward is the strict one",
        whole(COMMA),
        "Sure, here it is:\na b",
        0,
        also={"reward_loose": 1, "follow_instruction_list_loose": [True]},
    ),
    Case(
        "loose: without the last line",
        whole(COMMA),
        "a b\nNow, is it good?",
        0,
        also={"reward_loose": 1},
    ),
    Case(
        "loose: without both",
        whole(COMMA),
        "Well, now:\na b\nNow, is it good?",
        0,
        also={"reward_loose": 1},
    ),
    Case(
        "loose: without stars",
        whole(("startend:end_checker", {"end_phrase": "the end"})),
        "**the end**",
        0,
        also={"reward_loose": 1},
    ),
    Case(
        "loose: without stars and both lines",
        whole(("startend:end_checker", {"end_phrase": "the end"})),
        "a\n**the end**\nb",
        0,
        also={"reward_loose": 1},
    ),
    Case(
        "loose: a line in the middle stays", whole(COMMA), "a\nb, c\nd", 0, also={"reward_loose": 0}
    ),
    Case(
        "loose: a share", share(COMMA, TITLE), "Well, so:\nNo title.", 0, also={"reward_loose": 0.5}
    ),
    Case("strict is loose as well", share(COMMA, TITLE), "<<a>>", 1, also={"reward_loose": 1}),
]

CASES = {
    "instruction_following": [
        *BOTH,
        *cases_of(EACH),
        *cases_of(UNUSUAL),
        Case("all or nothing is the default", asked(COMMA, TITLE), "No title.", 0),
    ],
    "ifbench": [*BOTH, *LOOSE, *cases_of(UNUSUAL)],
}

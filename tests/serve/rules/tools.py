"""Tool calls: the right ones, in a session or without one."""

import json
import math

from tests.serve.rules.asking import Case, call, gave, think

FIND = {"name": "find", "arguments": {"query": "alpha", "n": 2}}
SHOW = {"name": "show", "arguments": {}}
OFFERED = ("find", "show", "other")


def made(*calls):
    return [call(one["name"], one["arguments"], number) for number, one in enumerate(calls)]


def find(**arguments):
    return {"name": "find", "arguments": arguments}


def xlam(rule, expected, answer, reward, **also):
    return Case(rule, {"expected_answers": expected}, answer, reward, tools=OFFERED, also=also)


XLAM = [
    xlam("the call expected", [FIND], made(FIND), 1, num_correct=1, num_predicted=1),
    xlam("text beside it does not matter", [FIND], ["Let me see.", *made(FIND)], 1),
    xlam("another name", [FIND], made({**FIND, "name": "other"}), 0),
    xlam("another value", [FIND], made(find(query="beta", n=2)), 0),
    xlam("an expected argument is missing", [FIND], made(find(query="alpha")), 0),
    xlam("an argument more is allowed", [FIND], made(find(query="alpha", n=2, deep=True)), 1),
    xlam("both calls, in any order", [FIND, SHOW], made(SHOW, FIND), 1),
    xlam("one of two", [FIND, SHOW], made(FIND), 0, num_correct=1),
    xlam("one too many", [FIND], made(FIND, SHOW), 0, num_correct=1, num_predicted=2),
    xlam("each call counts once", [FIND, FIND], made(FIND, SHOW), 0),
    xlam("the same call twice", [FIND, FIND], made(FIND, FIND), 1),
    xlam("arguments that are no JSON are none", [FIND], call("find", "{"), 0),
    xlam("none are enough where none are expected", [SHOW], call("show", "{"), 1),
    xlam("no call is expected, and none made", [], "No tool fits.", 1),
    xlam("no call is expected, and one made", [], made(SHOW), 0),
    xlam("no call", [FIND], "find(query=alpha)", 0),
]


def action(one):
    return {"type": "function_call", "name": one["name"], "arguments": json.dumps(one["arguments"])}


def batch(*calls):
    return {"type": "function_call_batch", "calls": [action(one) for one in calls]}


def step(rule, expected, answer, reward, category=None, **settings):
    return Case(rule, {"expected_action": expected}, answer, reward, tools=OFFERED,
                settings=settings, also={"category": category} if category else {})  # fmt: skip


def value(rule, expected, given, reward, **settings):
    """A rule of how the value of an argument is compared."""
    return step(rule, action(find(v=expected)), made(find(v=given)), reward, **settings)


ON = {"parallel_tool_call_rewarding": True}
SUB, SUPER = {"allow_subset": True}, {"allow_superset": True}
FRACTION = {"parallel_tool_call_reward_mode": "fractional"}
F1 = {"parallel_tool_call_reward_mode": "f1"}
HELLO = {"type": "message", "content": "Hello."}
SINGLE_STEP = [
    step(
        "a message, where one is expected",
        HELLO,
        "Something else.",
        1,
        "expected_chat_message_found",
    ),
    step("a call where a message is expected", HELLO, made(FIND), 0, "no_expected_chat_message"),
    step("the call expected", action(FIND), made(FIND), 1, "expected_tool_call"),
    step("calls win over text", action(FIND), ["So.", *made(FIND)], 1),
    step("a message where a call is expected", action(FIND), "So.", 0, "no_expected_tool_call"),
    step("another name", action(FIND), made({**FIND, "name": "other"}), 0, "unexpected_tool"),
    step(
        "an argument is missing",
        action(FIND),
        made(find(query="alpha")),
        0,
        "argument_object_keys_different",
    ),
    step(
        "an argument too many",
        action(FIND),
        made(find(query="alpha", n=2, x=1)),
        0,
        "argument_object_keys_different",
    ),
    step(
        "arguments that are no JSON", action(FIND), call("find", "{"), 0, "arguments_decode_error"
    ),
    value("the keys of objects inside as well", {"a": 1}, {"a": 1, "b": 2}, 0),
    value("lists of one length", [1, 2], [1, 2], 1),
    value("lists of different length", [1, 2], [1], 0),
    value("the type expected", "2", 2, 0),
    value("a float expected and a whole number given", 2.0, 2, 0),
    value("floats that are close", 0.5, 0.5 + 5e-7, 1),
    value("floats that are not", 0.5, 0.5 + 5e-6, 0),
    value("how close is a setting", 0.5, 0.6, 1, floating_point_comparison_threshold=0.2),
    value("a word must be equal", "alpha", "Alpha", 0),
    value("a word and more than one", "alpha", "alpha beta", 0),
    value("texts of words share a tenth of them", "a b c d e", "A x y z w", 1),
    value("texts that share less", "a b c d e f", "a u v w x y", 0),
    value(
        "equal texts share half", "alpha beta", "alpha beta", 1, word_count_similarity_threshold=0.5
    ),
    value("and not more", "alpha beta", "alpha beta", 0, word_count_similarity_threshold=0.51),
    value("a word counts as often as in both", "a a a b", "a c d e", 1),
    value("whole numbers are equal or not", 2, 3, 0),
    value("truth as well", True, False, 0),
    step(
        "a batch, in any order", batch(FIND, SHOW), made(SHOW, FIND), 1, "expected_tool_call_batch"
    ),
    step("one call of a batch is missing", batch(FIND, SHOW), made(FIND), 0),
    step("calls beside those expected are free", batch(FIND, SHOW), made(SHOW, FIND, SHOW), 1),
    step("also beside one that is expected", action(FIND), made(SHOW, FIND), 1),
    step(
        "pairs are found even where the first choice is wrong",
        batch(find(v="a b c"), find(v="a b x")),
        made(find(v="a b c"), find(v="q r c")),
        1,
    ),
    step("if the number counts: one too many", action(FIND), made(FIND, SHOW), 0, **ON),
    step("one too few", batch(FIND, SHOW), made(FIND), 0, **ON),
    step("fewer may score", batch(FIND, SHOW), made(FIND), 1, **ON, **SUB),
    step("more may score", action(FIND), made(FIND, SHOW), 1, **ON, **SUPER),
    step("all or nothing", batch(FIND, SHOW), made(FIND, FIND), 0, **ON),
    step("the share that was matched", batch(FIND, SHOW), made(FIND, FIND), 0.5, **ON, **FRACTION),
    step("F1 with fewer", batch(FIND, SHOW), made(FIND), 2 / 3, **ON, **F1, **SUB),
    step("F1 with more", action(FIND), made(FIND, SHOW), 2 / 3, **ON, **F1, **SUPER),
    step("F1 of all", batch(FIND, SHOW), made(SHOW, FIND), 1, **ON, **F1),
]


def multireward(rule, answer, reward, correctness, schema, form):
    parts = {"correctness": correctness, "schema_valid": schema, "format": form}
    return Case(rule, {"expected_call": FIND}, answer, reward, tools=(NEEDS,), also=parts)


QUERY = {"query": {"type": "string"}, "n": {"type": "integer"}}
NEEDS = {
    "type": "function",
    "name": "find",
    "description": "Find.",
    "strict": True,
    "parameters": {"type": "object", "required": ["query"], "properties": QUERY},
}
MULTIREWARD = [
    multireward("right, valid, alone", made(FIND), 3, 1, 1, 1),
    multireward("with text", ["So.", *made(FIND)], 2, 1, 1, 0),
    multireward("another value", made(find(query="beta", n=2)), 2, 0, 1, 1),
    multireward("a required argument is missing", made(find(n=2)), 1, 0, 0, 1),
    multireward("two calls", made(FIND, FIND), 2, 1, 1, 0),
    multireward("a tool that is not declared", made(SHOW), 0, 0, 0, 0),
    multireward("no call", "So.", 0, 0, 0, 0),
    multireward("an argument more", made(find(query="alpha", n=2, x=1)), 3, 1, 1, 1),
    multireward("arguments that are no JSON", call("find", "{"), 1, 0, 0, 1),
    multireward("arguments that are a list", call("find", "[1]"), 1, 0, 0, 1),
    multireward("none at all", call("find", ""), 1, 0, 0, 1),
    multireward("beside a tool that is not declared", made(FIND, SHOW), 0, 0, 0, 0),
    multireward("nothing", [think("hm")], 0, 0, 0, 0),
]


def steps_to(values, *more):
    """Asks for two values and hands some in."""
    return [call("get_synonym_value", {"synonym": "ab"}), gave({"synonym_value": 195}),
            call("extract_synonym_values", {"synonym_values": values}, 1),
            gave({"success": True}, 1), *more, "Done."]  # fmt: skip


VALUES = {"id": 1, "expected_synonym_values": [195, 97], "minefield_label": "x",
          "minefield_label_value": 120}  # fmt: skip
MULTI_STEP = [
    Case(
        "the values, in their order",
        VALUES,
        steps_to([195, 97]),
        1,
        also={"set_overlap": 1, "original_term_minefield_hit": 0},
    ),
    Case(
        "another order",
        VALUES,
        steps_to([97, 195]),
        0,
        also={"set_overlap": 1, "order_instruction_following_failure": 1},
    ),
    Case("one of them", VALUES, steps_to([195]), 0, also={"set_overlap": 0.5}),
    Case(
        "the word's own value",
        VALUES,
        steps_to([120, 195, 97]),
        0,
        also={"original_term_minefield_hit": 1},
    ),
    Case(
        "the last list counts",
        VALUES,
        steps_to(
            [1],
            call("extract_synonym_values", {"synonym_values": [195, 97]}, 2),
            gave({"success": True}, 2),
        ),
        1,
    ),
    Case("no call", VALUES, "195, 97", 0),
    Case("a value too many", VALUES, steps_to([195, 97, 97]), 0, also={"set_overlap": 1}),
    Case(
        "text in place of numbers",
        VALUES,
        [call("extract_synonym_values", {"synonym_values": ["195", "97"]}), "Done."],
        0,
    ),
    Case("no list", VALUES, [call("extract_synonym_values", {"synonym_values": 195}), "Done."], 0),
    Case("arguments that are no JSON", VALUES, [call("extract_synonym_values", "{"), "Done."], 0),
    Case("a tool that is not there", VALUES, [call("hand_in", {"values": [195, 97]}), "Done."], 0),
    Case(
        "the values without having asked for them",
        VALUES,
        [call("extract_synonym_values", {"synonym_values": [195, 97]}), "Done."],
        1,
    ),
]
COUNTER = {"initial_count": 3, "expected_count": 5}
SESSION = [
    Case(
        "the counter stands where it should",
        COUNTER,
        [
            call("increment_counter", {"count": 2}),
            gave({"success": True}),
            call("get_counter_value", {}, 1),
            gave({"count": 5}, 1),
            "5",
        ],
        1,
    ),
    Case(
        "what is said does not matter",
        COUNTER,
        [call("increment_counter", {"count": 2}), gave({"success": True}), "7"],
        1,
    ),
    Case(
        "it does not",
        COUNTER,
        [call("increment_counter", {"count": 1}), gave({"success": True}), "5"],
        0,
    ),
    Case("nothing was done", COUNTER, "5", 0),
    Case(
        "back again",
        COUNTER,
        [
            call("increment_counter", {"count": 3}),
            call("increment_counter", {"count": -1}, 1),
            "Done.",
        ],
        1,
    ),
    Case("arguments that are no JSON", COUNTER, [call("increment_counter", "{"), "Done."], 0),
    Case(
        "text in place of a number",
        COUNTER,
        [call("increment_counter", {"count": "two"}), "Done."],
        0,
    ),
    Case("a tool that is not there", COUNTER, [call("set_counter", {"count": 5}), "Done."], 0),
    Case("only read", COUNTER, [call("get_counter_value"), "Done."], 0),
    Case(
        "from nothing, if the row does not say",
        {"expected_count": 2},
        [call("increment_counter", {"count": 2}), "Done."],
        1,
    ),
    Case("the verifier is no tool", COUNTER, [call("verify", {"reward": 1}), "Done."], 0),
    Case(
        "twice one",
        COUNTER,
        [
            call("increment_counter", {"count": 1}),
            gave({"success": True}),
            call("increment_counter", {"count": 1}, 1),
            gave({"success": True}, 1),
            "Done.",
        ],
        1,
    ),
]


def counted(rule, amounts, reward, target=5):
    items = [call("add", amount, number) for number, amount in enumerate(amounts)]
    return Case(rule, {"target": target}, [*items, "Done."], reward, also={"calls": len(amounts)})


COUNT = [
    counted("the target", [{"amount": 5}], 1),
    counted("in two steps", [{"amount": 7}, {"amount": -2}], 1),
    counted("one short", [{"amount": 4}], 0),
    counted("one too many", [{"amount": 6}], 0),
    counted("past it", [{"amount": 5}, {"amount": 1}], 0),
    counted("nothing", [], 0),
    counted("nothing, where the target is nothing", [], 1, target=0),
    counted("below nothing", [{"amount": -3}], 1, target=-3),
    counted("arguments that are no JSON", ["{"], 0),
    counted("text in place of a number", [{"amount": "five"}], 0),
    counted("a number too few", [{}], 0),
    counted("half a number", [{"amount": 4.5}], 0),
]

OF_TOOL = {  # function: arguments, and what it gives in this world
    "multiply": ({"a": 2, "b": 3}, 1.1 * 2 * 3),
    "divide": ({"a": 3, "b": 4}, 0.5 * 3 / 4),
    "add": ({"a": 1, "b": 3}, 1.0 + 3 + 1.2),
    "subtract": ({"a": 7, "b": 2}, 7.0 - 2 - 3),
    "power": ({"a": 2, "b": 3}, 2.0**5),
    "log": ({"a": 8, "base": 2}, math.log(8) / math.log(3.5)),
    "sin": ({"radians": 1}, math.cos(1)),
    "cos": ({"radians": 1}, math.sin(1)),
    "pi": ({}, math.e),
    "negate": ({"a": 4}, 4.0),
    "return_constant": ({"a": 4}, 4.0),
}


def calculated(rule, expected, uses, reward, said="Done."):
    items = []
    for number, name in enumerate(uses):
        arguments, found = OF_TOOL[name]
        items += [call(name, arguments, number), gave({"solution": found}, number)]
    fields = {"ground_truth": json.dumps(expected), "id": 1, "depth": 1, "breadth": 1}
    return Case(rule, fields, [*items, said], reward)


CALCULATOR = [
    *[
        calculated(f"{name} follows its rule", [found], [name], 1)
        for name, (_, found) in OF_TOOL.items()
    ],
    calculated("all values were returned", [6.6000000000000005, 5.2], ["add", "multiply"], 1),
    calculated("one was not", [6.6000000000000005, 5.2], ["add"], 0),
    calculated("nearly is not exactly", [5.2000001], ["add"], 0),
    calculated("results beside them do not matter", [5.2], ["add", "pi"], 1),
    calculated("what is said does not matter", [5.2], [], 0, said="It is 5.2."),
]


CASES = {
    "counter": COUNT,
    "xlam_fc": XLAM,
    "single_step_tool_use_with_argument_comparison": SINGLE_STEP,
    "example_tool_call_multireward": MULTIREWARD,
    "example_multi_step": MULTI_STEP,
    "example_session_state_mgmt": SESSION,
    "math_advanced_calculations": CALCULATOR,
}

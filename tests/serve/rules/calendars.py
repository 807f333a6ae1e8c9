"""Events of a day, each within its limits."""

import json

from tests.serve.rules.asking import Case, say, think


def event(name=0, start="9am", duration=60, **more):
    return {"event_id": name, "start_time": start, "duration": duration, **more}


def limits(constraint=None, name=0, duration=60, low="9am", high="6pm"):
    return {"event_id": name, "duration": duration, "constraint": constraint, "min_time": low,
            "max_time": high}  # fmt: skip


def day(rule, expected, answer, reward):
    text = json.dumps(answer) if isinstance(answer, list) else answer
    state = {str(one["event_id"]): one for one in expected}
    return Case(rule, {"exp_cal_state": state}, text, reward)


def placed(rule, constraint, start, reward):
    return day(rule, [limits(constraint)], [event(start=start)], reward)


TWO = [limits(), limits(name=1)]
CALENDAR = [
    day("an event within its limits", [limits()], [event()], 1),
    day("text around the list", [limits()], f"Here: {json.dumps([event()])} Good?", 1),
    day(
        "the first list that has objects",
        [limits()],
        f"[1] {json.dumps([event()])} {json.dumps([event(duration=5)])}",
        1,
    ),
    day("a thought in the text", [limits()], f"<think>a</think>{json.dumps([event()])}", 0),
    day("no event is expected, and something said", [], "Noted.", 1),
    day("no list", [limits()], "At nine.", 0),
    day("another duration", [limits()], [event(duration=30)], 0),
    day("too early", [limits()], [event(start="8:45am")], 0),
    day("too late", [limits()], [event(start="5:15pm")], 0),
    day("as late as may be", [limits()], [event(start="5pm")], 1),
    day("a time of 24 hours", [limits()], [event(start="14:30")], 1),
    day("noon", [limits(low="12pm")], [event(start="12pm")], 1),
    day("names and more do not matter", [limits()], [event(event_name="Tea", x=[1])], 1),
    day(
        "the last entry of an event counts",
        TWO,
        [event(0, "9am"), event(1, "1pm"), event(1, "3pm")],
        1,
    ),
    day("an event is missing", TWO, [event()], 0),
    day("an event too many", [limits()], [event(0), event(1, "1pm")], 0),
    day("two at the same time", TWO, [event(0, "9am"), event(1, "9:30am")], 0),
    day("one behind the other", TWO, [event(0, "9am"), event(1, "10am")], 1),
    day("another event", [limits()], [event(5)], 0),
    day("a time that is none", [limits()], [event(start="soon")], 0),
    placed("it ends before", "before 11am", "10am", 1),
    placed("it does not end before", "before 11am", "10:15am", 0),
    placed("it starts after", "after 2pm", "2pm", 1),
    placed("it does not start after", "after 2pm", "1:45pm", 0),
    placed("between", "between 1pm and 2pm", "1pm", 1),
    placed("not between", "between 1pm and 2pm", "1:15pm", 0),
    placed("at", "at 11:45am", "11:45am", 1),
    placed("not at", "at 11:45am", "12pm", 0),
]
ONE_EVENT = {"exp_cal_state": {"0": limits()}}
TEXT = json.dumps([event()])
CALENDAR += [
    Case("the last message is read", ONE_EVENT, ["One moment.", TEXT], 1),
    Case("and no other", ONE_EVENT, [TEXT, "Good?"], 0),
    Case("of it, the first block", ONE_EVENT, say(TEXT, "Good?"), 1),
    Case("and no other block", ONE_EVENT, say("Here:", TEXT), 0),
    Case("reasoning before it is not read", ONE_EVENT, [think("<think>"), TEXT], 1),
    Case("reasoning behind it leaves nothing to read", ONE_EVENT, [TEXT, think("hm")], 0),
    Case("no event is expected, and nothing said", {"exp_cal_state": {}}, [think("hm")], 0),
]

CASES = {"calendar": CALENDAR}

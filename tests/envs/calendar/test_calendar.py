"""Golden cases of `calendar`."""

import json

import pytest
from tests.envs.golden import play, reward
from tests.envs.steps import HOSTILE, calls

import athlos
from athlos import Task
from athlos.envs.calendar.grading import grade, minutes


def event(name, start, duration=60, **more):
    return {"event_id": name, "start_time": start, "duration": duration, **more}


def limits(constraint=None, duration=60, first="9am", last="6pm"):
    return {"duration": duration, "constraint": constraint, "min_time": first, "max_time": last}


def judged(events, **expected):
    return reward("calendar", {"exp_cal_state": expected}, f"Here it is:\n{json.dumps(events)}")


CONSTRAINTS = [
    (None, "9am", 1), (None, "5pm", 1), (None, "8:59am", 0), (None, "5:01pm", 0),
    ("before 11am", "10am", 1), ("before 11am", "10:01am", 0),
    ("after 11am", "11am", 1), ("after 11am", "10:59am", 0),
    ("between 11:45am and 14:30", "11:45am", 1), ("between 11:45am and 14:30", "1:30pm", 1),
    ("between 11:45am and 14:30", "11:44am", 0), ("between 11:45am and 14:30", "13:31", 0),
    ("at 2pm", "14:00", 1), ("at 2pm", "2:01pm", 0),
]  # fmt: skip


@pytest.mark.parametrize(("constraint", "start", "right"), CONSTRAINTS)
def test_constraints(constraint, start, right):
    assert judged([event(0, start)], **{"0": limits(constraint)}) == right


def test_times():
    assert [minutes(t) for t in ("12am", "10am", "11:45am", "12pm", "12:30pm", "1pm", "14:30")] == [
        0, 600, 705, 720, 750, 780, 870,
    ]  # fmt: skip
    for bad in ("", "noon", "10", "10:xam", "am"):
        with pytest.raises(ValueError):
            minutes(bad)


TWO = {"0": limits(), "1": limits("after 12pm", 30)}


def test_events():
    assert judged([event(0, "9am"), event(1, "12pm", 30)], **TWO) == 1
    assert judged([event("1", "12pm", 30), event("0", "9am")], **TWO) == 1
    assert judged([event(0, "11am"), event(1, "12pm", 30)], **TWO) == 1  # they may touch
    assert judged([event(0, "11:30am"), event(1, "12pm", 30)], **TWO) == 0  # not overlap
    assert judged([event(0, "9am")], **TWO) == 0
    assert judged([event(0, "9am"), event(1, "12pm", 30), event(2, "3pm")], **TWO) == 0
    assert judged([event(0, "9am"), event(2, "12pm", 30)], **TWO) == 0
    assert judged([event(0, "9am", 61), event(1, "12pm", 30)], **TWO) == 0
    assert judged([event(0, "9am", "60"), event(1, "12pm", 30)], **TWO) == 0
    # the last entry of an id counts
    assert judged([event(1, "10am", 45), event(0, "9am"), event(1, "12pm", 30)], **TWO) == 1
    assert judged([event(1, "12pm", 30), event(0, "9am"), event(1, "10am", 30)], **TWO) == 0
    # names and further fields do not matter
    assert judged([event(0, "9am", event_name="x"), event(1, "2pm", 30, room=[1])], **TWO) == 1


ONE = {"exp_cal_state": {"0": limits()}}
GOOD = json.dumps([event(0, "9am")])


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        (GOOD, 1),
        (f"```json\n{GOOD}\n```", 1),
        (f"[1, 2] and [] first, then {GOOD}", 1),
        (f"{json.dumps([event(0, '8am')])} no: {GOOD}", 0),  # the first list counts
        (f"<think>x</think>{GOOD}", 0),
        (f"<think>{GOOD}", 0),
        (GOOD[:-1], 0),
        (json.dumps(event(0, "9am")), 0),
        (json.dumps([{"event_id": 0}]), 0),
        (json.dumps([event(0, 9)]), 0),
        (json.dumps([event(0, "9am"), 3]), 0),
        (json.dumps([event(0, None)]), 0),
        (calls(("verify", {}), text=GOOD), 0),  # it ends with a call
    ],
)
def test_answers(answer, right):
    assert reward("calendar", ONE, answer) == right


def test_hostile_texts():
    for text in HOSTILE:
        assert reward("calendar", ONE, text) == 0


def test_nothing_expected_is_met_by_any_text_but_a_thought():
    assert grade("All right.", {}) == "pass"
    assert grade("<think>so", {}) == "think_found"
    assert grade(" ", {}) == "no_answer"


def test_every_generated_day_can_be_planned_and_earlier_turns_do_not_score():
    env = athlos.load("calendar")
    for task in list(env.tasks(env.make_config(), "train"))[:120]:
        expected = task.info["exp_cal_state"]
        earlier = [m.text for m in task.prompt if m.role == "assistant"]
        assert all(grade(text, expected) != "pass" for text in earlier)
        assert plan(expected, json.loads(earlier[-1]) if earlier else [])
    assert play(env, task, earlier[-1]).reward == 0


def plan(expected, shown):
    """Whether the last event fits beside those shown."""
    name = str(len(expected) - 1)
    duration = expected[name]["duration"]
    for start in range(9 * 60, 18 * 60, 15):
        last = event(int(name), f"{start // 60}:{start % 60:02}", duration)
        if grade(json.dumps([*shown, last]), expected) == "pass":
            return True
    return False


def test_a_row_of_either_shape_is_read():
    from athlos.rows import row_to_task

    params = {"input": [{"role": "user", "content": "?"}]}
    for row in ({"responses_create_params": params, **ONE},
                {"responses_create_params": params, "verifier_metadata": ONE}):  # fmt: skip
        assert play("calendar", row_to_task(row), GOOD).reward == 1
    assert isinstance(row_to_task(row), Task)

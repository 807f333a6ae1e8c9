"""What the verification of a calendar costs, in steps: not the square of the answer."""

import json

import pytest

from athlos.envs.calendar import grading

LIMITS = {"0": {"duration": 60, "constraint": None, "min_time": "9am", "max_time": "6pm"}}


class Counting:
    """A decoder that counts the characters that it reads."""

    def __init__(self):
        self.read = 0

    def raw_decode(self, text, start):
        try:
            found, end = json.JSONDecoder().raw_decode(text, start)
        except json.JSONDecodeError as error:
            self.read += 1 + error.pos - start
            raise
        except RecursionError:
            self.read += 1000
            raise
        self.read += end - start
        return found, end


@pytest.mark.parametrize("part", ["[", "[[1,", '[{"a":[', '["', "[{", "[x ", "[[1], "])
def test_a_text_of_brackets_is_read_to_a_limit(part, monkeypatch):
    for size in (2_000, 40_000):
        decoder = Counting()
        monkeypatch.setattr(grading, "_DECODER", decoder)
        assert grading.grade(part * size, LIMITS) == "no_json_list"
        assert decoder.read <= grading._EFFORT + len(part) * size


def test_lists_in_lists_are_read_once(monkeypatch):
    for size in (1_000, 100_000):
        decoder = Counting()
        monkeypatch.setattr(grading, "_DECODER", decoder)
        text = "[" * 200 + "1," * size + "1" + "]" * 200
        assert grading.grade(text, LIMITS) == "no_json_list"
        assert decoder.read == len(text)


def test_events_are_not_compared_each_with_each(monkeypatch):
    counted = {}
    for size in (500, 1_000, 2_000):
        calls = []

        def span(event, calls=calls):
            calls.append(event)
            return event["start_time"], event["start_time"] + event["duration"]

        monkeypatch.setattr(grading, "_span", span)
        events = [{"event_id": 0, "start_time": n, "duration": 1} for n in range(size)]
        grading.grade(json.dumps(events), {"0": {"duration": 2}})
        counted[size] = len(calls)
    assert counted[1_000] <= 2 * counted[500] + 2
    assert counted[2_000] <= 2 * counted[1_000] + 2


@pytest.mark.parametrize(
    "text",
    [
        '[[[{"event_id": 0, "start_time": "9am", "duration": 60}]]]',
        '[1, [2]] [x [{"event_id": 0, "start_time": "9am", "duration": 60}]',
        '[[], [3, [{"event_id": 0, "start_time": "9am", "duration": 60}], [{}]]]',
    ],
)
def test_the_first_list_with_an_object_counts_wherever_it_stands(text):
    assert grading.grade(text, LIMITS) == "pass"


def test_events_of_no_length_are_in_the_way_only_within_others():
    def graded(*spans):
        events = [
            {"event_id": 0, "start_time": f"{start}:00", "duration": length}
            for start, length in spans
        ]
        return grading.grade(json.dumps(events), LIMITS)

    assert graded((10, 0), (9, 60)) == "pass"
    assert graded((9, 0), (9, 60)) == "pass"
    assert graded((10, 0), (9, 120), (12, 60)) == "conflicting_events"
    assert graded((10, 60), (10, 60)) == "pass"  # the same twice is one
    assert graded((10, 90), (10, 60)) == "conflicting_events"
    assert graded((10, float("nan")), (12, 60)) == "error_in_grading"

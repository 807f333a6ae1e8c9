from athlos import Message
from athlos.gateway.threads import Threads, read_messages
from athlos.types import Call, Usage


def say(*texts):
    roles = ("user", "assistant")
    return [Message(roles[place % 2], text) for place, text in enumerate(texts)]


def told(*prompts):
    """Texts of the main conversation, and the places of its calls, after calls with the prompts."""
    threads = Threads()
    calls = []
    for place, prompt in enumerate(prompts):
        calls.append(Call(0, "stop", Usage(), 0.0, 0.0))
        threads.add(prompt, Message("assistant", f"reply {place}"), calls[-1])
    messages, made = threads.main()
    places = {id(call): place for place, call in enumerate(calls)}
    return [message.text for message in messages], [places[id(call)] for call in made]


def test_without_calls_there_is_no_conversation():
    assert Threads().main() == ((), ())


def test_a_conversation_grows():
    texts, calls = told(say("a"), say("a", "reply 0", "b"))
    assert texts == ["a", "reply 0", "b", "reply 1"]
    assert calls == [0, 1]


def test_what_the_harness_made_of_a_reply_does_not_matter():
    texts, calls = told(say("a"), say("a", "edited", "b"))
    assert texts == ["a", "edited", "b", "reply 1"]
    assert calls == [0, 1]


def test_side_questions_are_not_the_conversation():
    texts, calls = told(say("title?"), say("a"), say("a", "x", "b"), say("summary?", "y", "of all"))
    assert texts[:2] == ["a", "x"]
    assert calls == [1, 2]


def test_a_side_question_that_is_repeated_is_still_one():
    assert told(say("a"), say("a", "x", "b"), say("t"), say("t"))[1] == [0, 1]


def test_after_a_compaction_the_new_conversation_is_the_main_one():
    texts, calls = told(
        say("a"),
        say("a", "x", "b"),
        say("short", "ok", "go on"),
        say("short", "ok", "go on", "z", "c"),
    )
    assert texts[0] == "short" and texts[-1] == "reply 3"
    assert calls == [2, 3]


def test_of_single_turns_the_longest_counts():
    assert told(say("a", "b", "c"), say("d"))[1] == [0]
    assert told(say("a"), say("d"))[1] == [1]


def test_messages_of_a_harness_are_read():
    read = read_messages(
        [
            {"role": "user", "content": [{"type": "text", "text": "a"}], "cache": 1},
            {"role": "assistant", "content": None, "reasoning": "Hm."},
            {"role": "assistant", "reasoning_content": "So.", "reasoning": "other"},
        ]
    )
    assert [message.reasoning_content for message in read] == [None, "Hm.", "So."]
    assert read[0].text == "a"


def test_messages_that_are_none_are_not():
    assert read_messages([{"role": "god", "content": "x"}]) is None
    assert read_messages("x") is None
    assert read_messages([3]) is None

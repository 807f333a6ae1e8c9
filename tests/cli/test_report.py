import io
import re

from rich.console import Console

from athlos.cli.report import print_summary
from athlos.metrics import FailureStats, RolloutStats, Summary, Tally
from athlos.types import Timing, Usage


def printed(
    summary: Summary, *, title: str = "counter", colour: bool = False, width: int = 80
) -> str:
    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=colour, color_system="standard" if colour else None
    )
    print_summary(summary, console, title=title)
    return out.getvalue()


def run(samples: int = 2, component: str = "right") -> Summary:
    tally = Tally()
    for number in range(10):
        for sample in range(samples):
            if number == 9:
                tally.add_failure(number, FailureStats("t9", sample, 0, "judge_error"))
                continue
            reward = float(number % 3 == sample % 2)
            tally.add(
                number,
                RolloutStats(
                    f"t{number}",
                    sample,
                    status="truncated" if number == 0 else "completed",
                    stop_reason="answered",
                    reward=reward,
                    rewards={component: reward},
                    metrics={"words": 1234.0 + number},
                    turns=1,
                    usage=Usage(1000, 50),
                    timing=Timing(duration=1.5),
                ),
            )
    return tally.summary(offered=10 * samples, samples=samples)


def test_the_closing_table_fits_80_columns_without_colour() -> None:
    text = printed(run())
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert "offered 20 = scored 16 + truncated 2 + failed 2 + cancelled 0 + owed 0" in text
    assert "18 rollouts over 9 tasks" in text
    assert re.search(r"reward 0\.333 ± 0\.\d{3}", text)
    assert re.search(r"right +0\.333 +\[0\.\d{3}, 0\.\d{3}\] +18", text)
    assert re.search(r"words +1,238\.0 ", text)
    assert re.search(r"failed attempts +judge_error 2", text)
    assert "18,000 prompt · 900 completion (50 per rollout)" in text
    assert "p50 1.5 s" in text


def test_pass_at_k_is_shown_for_several_samples_only() -> None:
    assert re.search(r"\n2 +0\.667 .* 0\.000 .* 0\.333 +9\n", printed(run(samples=2)))
    assert "pass@k" not in printed(run(samples=1))


def test_a_narrow_terminal_gets_pass_at_k_without_intervals() -> None:
    text = printed(run(samples=2), width=40)
    assert max(map(len, text.splitlines())) <= 40
    assert re.search(r"\n2 +0\.667 +0\.000 +0\.333 +9\n", text)


def test_failures_stand_out_in_colour() -> None:
    assert re.search("\x1b\\[1;31m *judge_error 2", printed(run(), colour=True))


def test_names_are_text_not_markup() -> None:
    text = printed(run(component="[red]right[/]"), title="[bold]x")
    assert "[red]right[/]" in text
    assert "[bold]x" in text


def test_a_long_name_is_folded_not_cut() -> None:
    name = "component_" * 12
    text = printed(run(component=name))
    assert max(map(len, text.splitlines())) <= 80
    start = text.index("component_c")
    folded = re.findall(r"^[component_]+(?= |$)", text[start:], flags=re.MULTILINE)
    assert "".join(folded) == name


def test_no_rollout_and_one_task_say_why_there_is_no_interval() -> None:
    assert "no rollouts" in printed(Tally().summary(offered=4, samples=1))
    tally = Tally()
    tally.add(0, RolloutStats("a", 0, reward=1.0))
    text = printed(tally.summary(offered=1, samples=1))
    assert "1 rollout over 1 task " in text
    assert "it takes two tasks" in text
    assert "None" not in text
    assert "nan" not in text

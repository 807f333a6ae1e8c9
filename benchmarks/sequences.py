"""How long it takes to build and check the training sequences of one long rollout.

python benchmarks/sequences.py
"""

import random
import sys
import time
import tracemalloc
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parent))
from athlos import Call, Rollout, Usage
from athlos.sequences import build
from common import Table, median, parser, spread, write

POLICIES = ("fork", "strict", "main_only", "realign", "per_call")
VOCABULARY = 150_000


def conversation(tokens: int, turns: int, *, drift: bool) -> Rollout:
    """A rollout whose prompts grow to `tokens`; a quarter is sampled.

    With `drift`, the last token of every other sample is another one in the next prompt. The calls
    go through JSON, as those of a run do: then no two prompts share a number in memory.
    """
    rng = random.Random(0)
    step = tokens // turns
    sampled = max(step // 4, 2)
    known: list[int] = []
    calls = []
    for turn in range(turns):
        known += rng.choices(range(VOCABULARY), k=step - sampled)
        sample = rng.choices(range(VOCABULARY), k=sampled)
        calls.append(
            Call(
                1,
                "stop",
                Usage(len(known), sampled),
                0.0,
                0.0,
                policy_version=turn,
                prompt_token_ids=list(known),
                token_ids=sample,
                logprobs=[-rng.random() for _ in sample],
                logprob_kind="processed",
                token_source="engine",
            )
        )
        known += sample
        if drift and turn % 2:
            known[-1] = VOCABULARY
    made = Rollout("t.0.0", "t", 0, "e", "m", calls=calls, reward=1.0)
    return msgspec.json.decode(msgspec.json.encode(made), type=Rollout)


def memory(rollout: Rollout, policy: str) -> float:
    """The most memory, in MB of 10^6 bytes, that building took beside the rollout."""
    tracemalloc.start()
    build(rollout, policy)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def main() -> None:
    """Prints the median CPU time and the memory for each policy; writes a line for each size."""
    options = parser(__doc__, repeats=7).parse_args()
    sizes = [(100_000, 50), (200_000, 50), (100_000, 200)]
    if options.quick:
        sizes, options.repeats = [(2_000, 10)], 1
    print("CPU time to build and check the sequences of one rollout, and the memory it takes.\n")
    table = Table(("policy", 18), ("tokens", 8), ("turns", 6), ("ms", 6), ("range", 9), ("MB", 6))
    for tokens, turns in sizes:
        grown = conversation(tokens, turns, drift=False)
        drifted = conversation(tokens, turns, drift=True)
        rows = {}
        for name, rollout, policy in (
            *((policy, grown, policy) for policy in POLICIES),
            ("fork, drift", drifted, "fork"),
            ("realign, drift", drifted, "realign"),
        ):
            times = []
            for _ in range(options.repeats + 1):
                started = time.process_time()
                built = build(rollout, policy)
                times.append((time.process_time() - started) * 1e3)
            times = times[1:]  # the first one brings the numbers into the cache
            most = memory(rollout, policy)
            rows[name] = {
                "ms": round(median(times), 1),
                "mb": round(most, 1),
                "sequences": len(built.sequences),
                "trained": built.trained_tokens,
                "dropped": built.dropped_tokens,
            }
            table.add(
                name,
                f"{tokens:,}",
                str(turns),
                f"{median(times):.0f}",
                spread(times),
                f"{most:.1f}",
            )
        row = {"tokens": tokens, "turns": turns, "repeats": options.repeats, "policies": rows}
        write(options.results, "sequences", row)


if __name__ == "__main__":
    main()

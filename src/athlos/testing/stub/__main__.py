"""`python -m athlos.testing.stub`: a stub model server for use by hand."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from athlos.errors import ConfigError
from athlos.testing.stub import DIALECTS, DRIFTS, StubFaults, ToolPolicy, stub_server

_KEY = "ATHLOS_STUB_API_KEY"


def main() -> int:
    """Serves until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m athlos.testing.stub", description=__doc__)
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of the tokenizer")
    parser.add_argument("--port", type=int, default=0, help="where to listen; 0 takes any")
    parser.add_argument("--dialect", choices=DIALECTS, default="vllm")
    parser.add_argument("--model", default="tiny", help="the name of the model")
    parser.add_argument("--drift", choices=DRIFTS, action="append", default=[], help="repeatable")
    parser.add_argument("--logprobs", choices=("raw", "processed"), default="raw")
    parser.add_argument("--max-len", type=int, default=32768, help="length of the context")
    parser.add_argument("--scale-out", action="store_true", help="vLLM's endpoints for token ids")
    parser.add_argument("--calls", type=int, default=2, help="turns with tool calls")
    parser.add_argument("--think", action="store_true", help="begin each turn with reasoning")
    parser.add_argument("--parallel", action="store_true", help="two tool calls in a turn")
    parser.add_argument("--token-delay", type=float, default=0.0, help="seconds for each token")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    policy = ToolPolicy(calls=options.calls, think=options.think, parallel=options.parallel)
    try:
        with stub_server(
            options.dialect,
            tokenizer=options.tokenizer,
            policy=policy,
            drift=options.drift,
            faults=StubFaults(token_delay=options.token_delay),
            logprobs=options.logprobs,
            seed=options.seed,
            model=options.model,
            max_len=options.max_len,
            api_key=os.environ.get(_KEY) or None,
            scale_out=options.scale_out,
            port=options.port,
        ) as stub:
            sys.stdout.write(f"{options.dialect} stub at {stub.url}\n")
            sys.stdout.flush()
            stub.wait()
    except ConfigError as e:
        hint = f" ({e.hint})" if e.hint else ""
        sys.stderr.write(f"{e}{hint}\n")
        return 2
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())

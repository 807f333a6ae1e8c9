"""Schemathesis against the description that the server gives of itself, if it is installed.

`ATHLOS_FUZZ_SECONDS` says for how long; `SCHEMATHESIS` names the program where it is not on the
path. `scripts/fuzz-serve` runs this for ten minutes.
"""

import asyncio
import os
import shutil

import pytest
from tests.serve.helpers import serving

from athlos.testing import call, fake_model

PROGRAM = os.environ.get("SCHEMATHESIS") or shutil.which("schemathesis")
SECONDS = os.environ.get("ATHLOS_FUZZ_SECONDS", "15")
# A row that fits the schema may still lack what an environment's verifier needs; and what is wrong
# with the arguments of a tool is said to the model, as the reply of a call that went well.
EXCLUDED = "positive_data_acceptance,negative_data_rejection"


def policy(messages):
    used = any(message.role == "tool" for message in messages)
    return "The answer is \\boxed{A}." if used else call("add", amount=1)


@pytest.mark.skipif(PROGRAM is None, reason="schemathesis is not installed")
def test_no_request_that_fits_the_description_breaks_the_server(tmp_path):
    async def main():
        names = ("counter", "mcqa", "string_match", "blackjack")
        async with serving(*names, model=fake_model(policy), lease=6.0) as server:
            program = await asyncio.create_subprocess_exec(
                PROGRAM, "run", f"{server.url}/openapi.json",
                "-H", f"Authorization: Bearer {server.token}",
                "--exclude-checks", EXCLUDED, "--max-time", SECONDS, "--no-color",
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=tmp_path,
            )  # fmt: skip
            said, _ = await program.communicate()
            for _ in range(400):
                if not len(server.sessions):
                    break
                await asyncio.sleep(0.1)
            return program.returncode, said.decode(errors="replace"), len(server.sessions)

    code, said, left = asyncio.run(main())
    assert code == 0, said[-6000:]
    assert left == 0

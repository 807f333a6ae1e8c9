"""A stand-in for verl's `server_manager`: token ids in, token ids out, no GPU."""

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

from athlos import Environment, Task, metric, reward, tool
from athlos.models.tokens import load_tokenizer
from athlos.testing.stub import call_text
from athlos.types import Message

TINY = Path(__file__).parent.parent / "data" / "tiny"
END = 2041
SAMPLING = {
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": -1,
    "repetition_penalty": 1.0,
    "logprobs": True,
}
TOKENIZER = load_tokenizer(TINY)


class Adding(Environment):
    """Add up to a number."""

    @classmethod
    def tasks(cls, config, split):
        for target in range(4):
            yield Task(f"Bring it to {target}.", {"target": target, "split": split})

    async def setup(self):
        self.count = 0

    @tool
    async def add(self, amount: int) -> int:
        """Add an amount.

        Args:
            amount: What to add.
        """
        self.count += amount
        return self.count

    @classmethod
    def own_agent(cls, agent):
        return Compacting(agent)

    @reward
    def reached(self, rollout):
        if self.task.info.get("breaks"):
            raise ValueError("no verdict")
        return float(self.count == self.task.info["target"])

    @metric
    def count_(self, rollout):
        return float(self.count)


class Compacting:
    """A harness that begins its conversation anew, if the task says so."""

    def __init__(self, agent):
        self._agent = agent

    async def run(self, env, model, rollout, sampling):
        if not env.task.info.get("forget"):
            await self._agent.run(env, model, rollout, sampling)
            return
        for text in ("First.", "Second."):
            rollout.messages = [Message("user", text)]
            reply = await model.chat(rollout.messages, sampling=sampling)
            rollout.calls.append(reply.call(1, 0.0))
            rollout.messages.append(reply.choices[0].message)
            rollout.turns += 1

    def settings(self):
        return {"name": "compacting"}


class Server:
    """Says `texts` one after another in each conversation, by what its prompt holds already.

    Attributes:
        asked: Request id, prompt and sampling parameters of each call.
    """

    def __init__(self, *texts, steps=(), output=SimpleNamespace, aborts=0, logprobs=True):
        self.texts = texts or (call_text("add", {"amount": 2}), "Done.")
        self.steps, self.output, self.aborts = list(steps), output, aborts
        self.logprobs = logprobs
        self.asked = []

    async def generate(self, request_id, *, prompt_ids, sampling_params, **given):
        assert sampling_params["logprobs"] is True
        opened = [
            [2040, *TOKENIZER.encode("assistant")] == list(two) for two in pairwise(prompt_ids)
        ]
        said = sum(opened)
        self.asked.append((request_id, list(prompt_ids), sampling_params))
        if self.aborts:
            self.aborts -= 1
            return self._output([], "aborted", sampling_params)
        text = self.texts[min(max(said - 1, 0), len(self.texts) - 1)]
        ids = [*TOKENIZER.encode(text), END][: sampling_params["max_tokens"]]
        return self._output(ids, "completed", sampling_params)

    def _output(self, ids, reason, sampling):
        certain = sampling.get("top_k") == 1
        step = self.steps.pop(0) if self.steps else None
        extra = {} if step is None else {"min_global_steps": step[0], "max_global_steps": step[1]}
        return self.output(
            token_ids=ids,
            log_probs=[0.0 if certain else -0.5] * len(ids) if self.logprobs else None,
            stop_reason=reason,
            extra_fields=extra,
        )

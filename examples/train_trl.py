"""Train a model with TRL on an environment of several turns.

    python examples/train_trl.py                          a tiny model, on two CPU cores
    python examples/train_trl.py --model Qwen/Qwen3-0.6B --device cuda --bf16 --warm-up 0 \\
        --max-tokens 512 --learning-rate 1e-6

It needs torch, TRL and the extra `tokens`. The tiny model is made first. A teacher that knows how
to use the tool, and not what for, plays at random; its rollouts are exported as sequences, and the
model is trained on them. What opens the safe, it finds out by GRPO.
"""

import argparse
import asyncio
import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import athlos
from athlos import Environment, Model, Rollout, Task, ToolLoop, reward, tool
from athlos.models.engines import Completion
from athlos.models.tokens import load_renderer, load_tokenizer
from athlos.runs.export import export

COLOURS = ("red", "blue", "green", "white", "black", "yellow")
DIALS = 3
OPENS = "green"
ROOT = Path(__file__).resolve().parent.parent


class Safe(Environment):
    """Turn the three dials of a safe to the colour that opens it. Nobody says which that is."""

    @classmethod
    def tasks(cls, config, split):
        for number in range(100, 164) if split == "train" else range(164, 228):
            yield Task(f"Open safe {number}. Turn dial 1.")

    async def setup(self):
        self.turned = []

    @tool
    async def turn(self, colour: str) -> str:
        """Turn the dial.

        Args:
            colour: To which.
        """
        self.turned.append(colour)
        self.done = len(self.turned) >= DIALS
        return f"Turn dial {len(self.turned) + 1}."

    @reward
    def right(self, rollout: Rollout) -> float:
        return self.turned[:DIALS].count(OPENS) / DIALS


def make_teacher(folder: str, seed: int):
    """An engine that turns the dial to any colour."""
    tokenizer = load_tokenizer(folder)
    end = load_renderer(tokenizer).stop_token_ids[0]
    rng = random.Random(seed)

    async def teach(prompt_ids, sampling):
        call = json.dumps({"name": "turn", "arguments": {"colour": rng.choice(COLOURS)}})
        ids = [*tokenizer.encode(f"<tool_call>\n{call}\n</tool_call>"), end]
        return Completion(token_ids=ids, logprobs=[0.0] * len(ids))

    return teach


def collect_lessons(folder: str, out: Path, seed: int) -> list[dict]:
    """Rollouts of the teacher, exported as sequences with a loss mask."""

    async def run():
        model = Model.in_process(make_teacher(folder, seed), folder, context=4096)
        async with model:
            await athlos.collect(Safe, model, split="train", samples=4, out=out / "teacher").run()

    asyncio.run(run())
    rows = out / "lessons.jsonl"
    export(out / "teacher", rows)
    return [json.loads(line) for line in rows.read_text().splitlines()]


def warm_up(model, lessons: list[dict], steps: int, seed: int) -> float:
    """Supervised training on the sequences; returns the last loss."""
    import torch

    rng = random.Random(seed)
    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98))
    loss = torch.zeros(())
    model.train()
    for _ in range(steps):
        rows = rng.sample(lessons, 8)
        width = max(len(row["token_ids"]) for row in rows)
        ids = torch.zeros(len(rows), width, dtype=torch.long, device=device)
        labels = torch.full_like(ids, -100)
        for at, row in enumerate(rows):
            tokens = torch.tensor(row["token_ids"])
            said = torch.tensor(row["loss_mask"], dtype=torch.bool)
            ids[at, : len(tokens)] = tokens
            labels[at, : len(tokens)] = tokens.masked_fill(~said, -100)
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return loss.item()


def measure(model, folder: str, limit: int) -> tuple[float, float]:
    """Mean reward on tasks that are not trained on, and half of its 95 % interval."""
    from athlos.train.transformers_engine import TransformersEngine

    async def run():
        engine = TransformersEngine(model, batch=128)
        limits = {"temperature": 1.0, "max_tokens": limit}
        async with Model.in_process(engine, folder, context=4096) as policy:
            collection = athlos.collect(
                Safe, policy, split="test", samples=2, concurrency=128,
                sampling=limits, agent=ToolLoop(max_turns=4),
            )  # fmt: skip
            rewards = [rollout.reward async for rollout in collection]
        engine.close()
        return rewards

    rewards = asyncio.run(run())
    mean = sum(rewards) / len(rewards)
    variance = sum((one - mean) ** 2 for one in rewards) / (len(rewards) - 1)
    return mean, 1.96 * math.sqrt(variance / len(rewards))


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a folder or a name on the hub; a tiny one by default")
    parser.add_argument("--out", type=Path, default=Path("runs/train-trl"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--warm-up", type=int, default=80, help="steps on the teacher's rollouts")
    parser.add_argument("--steps", type=int, default=50, help="of GRPO")
    parser.add_argument("--prompts", type=int, default=8, help="tasks in a step")
    parser.add_argument("--samples", type=int, default=8, help="rollouts of a task")
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--max-tokens", type=int, default=48, help="of one call")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument(
        "--vllm", help="URL of a vLLM server that TRL keeps in step with the weights"
    )
    return parser.parse_args()


def main() -> None:
    options = read_arguments()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    folder = options.model
    if folder is None:
        folder = str(out / "tiny")
        if not (out / "tiny/model.safetensors").exists():
            script = str(ROOT / "scripts/tiny_model.py")
            subprocess.run([sys.executable, script, folder, "--weights"], check=True)  # noqa: S603

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
    from trl import GRPOConfig, GRPOTrainer

    from athlos.train.trl import rollout_func

    set_seed(options.seed)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(options.device)
    if options.warm_up:
        lessons = collect_lessons(folder, out / f"seed-{options.seed}", options.seed)
        loss = warm_up(model, lessons, options.warm_up, options.seed)
        print(f"warm-up: {options.warm_up} steps, loss {loss:.2f} nats a token", flush=True)
    before = measure(model, folder, options.max_tokens)
    print(f"before: reward {before[0]:.3f} +- {before[1]:.3f}", flush=True)
    arguments = GRPOConfig(
        output_dir=str(out / f"seed-{options.seed}"),
        per_device_train_batch_size=options.prompts * options.samples,
        num_generations=options.samples,
        max_completion_length=options.max_tokens,  # of one call
        max_steps=options.steps,
        learning_rate=options.learning_rate,
        lr_scheduler_type="constant",
        beta=0.0,
        gradient_checkpointing=options.device != "cpu",
        use_cpu=options.device == "cpu",
        bf16=options.bf16,
        use_vllm=options.vllm is not None,
        vllm_server_base_url=options.vllm,
        seed=options.seed,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    with rollout_func(Safe, split="train", agent=ToolLoop(max_turns=4)) as rollouts:
        trainer = GRPOTrainer(
            model=model,
            args=arguments,
            processing_class=tokenizer,
            train_dataset=rollouts.dataset,
            rollout_func=rollouts,
            reward_funcs=rollouts.reward,
        )
        trainer.train()
    after = measure(model, folder, options.max_tokens)
    print(f"after: reward {after[0]:.3f} +- {after[1]:.3f}", flush=True)
    curve = [log["reward"] for log in trainer.state.log_history if "reward" in log]
    result = {"before": before, "after": after, "curve": curve}
    (out / f"seed-{options.seed}.json").write_text(json.dumps(result) + "\n")
    trainer.save_model(str(out / f"seed-{options.seed}/model"))


if __name__ == "__main__":
    main()

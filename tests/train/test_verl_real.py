"""The real verl, where it is installed: its base class, its output, its workers' own steps."""

import asyncio
import os
import shutil
import warnings
from pathlib import Path

import pytest

pytest.importorskip("verl", reason="verl is not installed; docs/training/verl.md says how")
pytestmark = pytest.mark.filterwarnings("ignore")  # what verl, Ray and torch warn of is theirs
os.environ["HF_HUB_OFFLINE"] = "1"

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import hydra
    import torch
    from omegaconf import OmegaConf
    from transformers import AutoTokenizer, Qwen2Config
    from verl import DataProto
    from verl.experimental.agent_loop.agent_loop import (
        AgentLoopBase,
        AgentLoopOutput,
        AgentLoopWorker,
        DictConfigWrap,
        ToolListWrap,
    )
    from verl.utils.dataset.rl_dataset import collate_fn, get_dataset_class
    from verl.workers.rollout.replica import TokenOutput

    from athlos.train.verl import AthlosAgentLoop, TaskDataset, close

from tests.train.verl_server import SAMPLING, TINY, Server  # noqa: E402

from athlos import ConfigError  # noqa: E402

EXAMPLE = Path(__file__).parents[2] / "examples" / "train" / "verl_agent_loop.yaml"
HERE = "tests/train/verl_server.py:Adding"


def config(*, use_v1, prompt=512, response=256):
    return OmegaConf.create(
        {
            "trainer": {"use_v1": use_v1},
            "actor_rollout_ref": {
                "rollout": {
                    "name": "vllm",
                    "prompt_length": prompt,
                    "response_length": response,
                    "full_determinism": False,
                }
            },
            "data": {
                "custom_cls": {"path": "pkg://athlos.train.verl", "name": "TaskDataset"},
                "athlos": {"environment": HERE, "agent_name": "athlos"},
                "apply_chat_template_kwargs": {},
            },
        }
    )


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(TINY)


@pytest.fixture(autouse=True)
def root(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])


def worker(server, tokenizer, **options):
    """verl's own worker, as far as it does not need a cluster."""
    whole = config(**options)
    made = AgentLoopWorker.__new__(AgentLoopWorker)
    made.config, made.rollout_config = whole, whole.actor_rollout_ref.rollout
    made.tokenizer, made.processor, made.hf_model_type = tokenizer, None, "qwen2"
    made.llm_client, made.tools = server, []
    made.dataset_cls, made.mm_processor_kwargs = TaskDataset, {}
    made.reward_loop_worker_handles, made.distillation_enabled = None, False
    return made


def entry():
    [one] = OmegaConf.load(EXAMPLE)
    one.environment = HERE
    return one


async def run(made, row, **sampling):
    """As `_run_agent_loop` does: hydra makes a loop for each trajectory."""
    loop = hydra.utils.instantiate(
        config=entry(),
        trainer_config=DictConfigWrap(config=made.config),
        server_manager=made.llm_client,
        tokenizer=made.tokenizer,
        processor=made.processor,
        hf_model_type=made.hf_model_type,
        dataset_cls=made.dataset_cls,
        data_config=DictConfigWrap(made.config.data),
        tools=ToolListWrap(made.tools),
    )
    assert isinstance(loop, AgentLoopBase) and type(loop) is AthlosAgentLoop
    return await loop.run({**SAMPLING, **sampling}, **row)


def rows():
    whole = config(use_v1=True).data
    made = get_dataset_class(whole)
    assert made is TaskDataset
    return made(data_files=["split:train"], tokenizer=None, config=whole, processor=None)


async def nothing(*given, **named):
    """In place of the teacher's log-probabilities: there is none."""


def play(work, server=None, **options):
    async def main():
        made = worker(server or Server(output=TokenOutput), options.pop("tokenizer"), **options)
        try:
            return await work(made)
        finally:
            await close(made.llm_client)

    return asyncio.run(main())


def test_the_data_set_is_collated_by_verl():
    found = rows()
    assert len(found) == 4
    batch = collate_fn([found[0], found[1]])
    assert batch["dummy_tensor"].shape == (2, 1)
    assert list(batch["index"]) == [0, 1] and list(batch["agent_name"]) == ["athlos"] * 2
    assert batch["raw_prompt"][0][0]["content"] == "Bring it to 0."
    with pytest.raises(ConfigError, match=r"data\.athlos\.environment is missing"):
        TaskDataset(["split:train"], None, OmegaConf.create({}))


def test_the_v1_trainer_gets_a_list_of_outputs(tokenizer):
    async def work(made):
        return await asyncio.gather(*(run(made, rows()[at]) for at in (2, 3, 2)))

    server = Server(output=TokenOutput, steps=[(7, 7)] * 7)
    found = play(work, server, use_v1=True, tokenizer=tokenizer)
    assert [one.reward_score for [one] in found] == [1.0, 0.0, 1.0]
    for [one] in found:
        assert type(one) is AgentLoopOutput
        fields = one.as_dict()
        length = fields["responses"].shape
        assert fields["response_mask"].shape == fields["rollout_log_probs"].shape == length
        assert fields["rm_scores"][-1] == one.reward_score
        assert fields["extra_fields"]["min_global_steps"] == 7
        info = fields["extra_fields"]["reward_extra_info"]
        assert info["reached"] == one.reward_score and info["count_"] == 2.0
        assert one.num_turns == 4 and 0 < sum(one.response_mask) < len(one.response_mask)


def test_the_classic_trainer_pads_one_output_of_each(tokenizer):
    async def work(made):
        good, broken = rows()[2], rows()[2]
        broken["athlos_task"] = broken["athlos_task"].replace('"target"', '"breaks":true,"target"')
        outputs = [await run(made, row) for row in (good, broken)]
        made._compute_teacher_logprobs = nothing
        return [await made._agent_loop_postprocess(one, False, **good) for one in outputs]

    good, broken = play(work, use_v1=False, tokenizer=tokenizer)
    for one in (good, broken):
        assert one.prompt_ids.shape == (1, 512) and one.response_ids.shape == (1, 256)
        assert one.input_ids.shape == one.attention_mask.shape == (1, 768)
    assert good.reward_score == 1.0 and good.response_mask.sum() > 0
    assert broken.reward_score == 0.0 and broken.response_mask.sum() == 0
    assert list(good.extra_fields["reward_extra_info"]) == list(
        broken.extra_fields["reward_extra_info"]
    )
    trained = good.response_mask[0].bool()
    assert torch.equal(good.response_logprobs[0] < 0, trained)


def test_with_the_v1_trainer_a_failure_is_in_no_baseline(tokenizer):
    async def work(made):
        row = rows()[2]
        row["athlos_task"] = row["athlos_task"].replace('"target"', '"breaks":true,"target"')
        return await run(made, row)

    assert play(work, use_v1=True, tokenizer=tokenizer) == []


def test_logprobs_are_handed_on_if_verl_asks_for_them(tokenizer):
    async def work(made):
        return await run(made, rows()[2], logprobs=False)

    [one] = play(work, use_v1=True, tokenizer=tokenizer)
    assert one.response_logprobs is None


def test_a_row_of_another_data_set_is_said(tokenizer):
    async def work(made):
        return await run(made, {"raw_prompt": []})

    with pytest.raises(ConfigError, match="the row has no 'athlos_task'"):
        play(work, use_v1=True, tokenizer=tokenizer)


def test_a_run_that_could_not_begin_begins_again(tokenizer):
    async def work(made):
        made.llm_client.logprobs = False
        with pytest.raises(ConfigError, match="no log-probabilities"):
            await run(made, rows()[2])
        made.llm_client.logprobs = True
        return await run(made, rows()[2])

    [one] = play(work, use_v1=True, tokenizer=tokenizer)
    assert one.reward_score == 1.0


def test_the_v1_worker_stores_each_row_of_a_rollout(tokenizer, monkeypatch):
    pytest.importorskip("transfer_queue", reason="verl's V1 trainer needs TransferQueue")
    from verl.trainer.ppo.v1 import agent_loop_tq

    stored = {}

    async def put(keys, fields, tags, partition_id):
        stored.update(keys=keys, fields=fields, tags=tags, partition=partition_id)

    monkeypatch.setattr(agent_loop_tq.tq, "async_kv_batch_put", put)

    async def work(made):
        row = rows()[2]
        row["athlos_task"] = row["athlos_task"].replace('"target"', '"forget":true,"target"')
        found = await run(made, row)
        more = {"uid": "u", "session_id": 1, "global_steps": 7}
        actor = agent_loop_tq.AgentLoopWorkerTQ.__ray_metadata__.modified_class
        made.__class__ = actor
        made._compute_teacher_logprobs = nothing
        await made._agent_loop_postprocess(found, False, **row, **more)
        return found

    server = Server("One.", output=TokenOutput, steps=[(6, 6), (6, 6), (6, 8)])
    found = play(work, server, use_v1=True, tokenizer=tokenizer)
    assert len(found) == 2
    assert stored["keys"] == ["u_1_0", "u_1_1"] and stored["partition"] == "train"
    assert [tag["max_global_steps"] for tag in stored["tags"]] == [8, 8]
    assert {tag["min_global_steps"] for tag in stored["tags"]} == {6}
    rewards = [float(scores[-1]) for scores in stored["fields"]["rm_scores"].unbind()]
    assert rewards == [found[0].reward_score] * 2


def composed(**changes):
    """The example's overrides on verl's own configuration."""
    text = (EXAMPLE.parent / "verl_grpo.sh").read_text().partition("main_ppo")[2]
    words = [line.strip(" \\\n").replace('"', "") for line in text.splitlines()]
    given = dict(word.split("=", 1) for word in words if "=" in word) | changes
    with hydra.initialize_config_module("verl.trainer.config", version_base=None):
        return hydra.compose("ppo_trainer", overrides=[f"{k}={v}" for k, v in given.items()])


def test_the_example_is_a_configuration_of_verl():
    made = composed()
    assert made.trainer.use_v1
    rollout = made.actor_rollout_ref.rollout
    assert (rollout.prompt_length, rollout.response_length) == (1024, 3072)
    assert rollout.agent.default_agent_loop == "athlos"
    assert len(TaskDataset(made.data.train_files, None, made.data)) == 100


def test_a_whole_worker_of_the_classic_trainer_makes_a_batch(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(TINY, folder)
    Qwen2Config(vocab_size=2052, architectures=["Qwen2ForCausalLM"]).save_pretrained(folder)
    OmegaConf.save(OmegaConf.create([entry()]), tmp_path / "loop.yaml")
    place = "actor_rollout_ref.rollout.agent.agent_loop_config_path"
    made = composed(
        **{
            "trainer.use_v1": "false",
            "actor_rollout_ref.model.path": folder,
            place: tmp_path / "loop.yaml",
            "+data.athlos.environment": f"'{HERE}'",
            "data.max_prompt_length": 512,
            "data.max_response_length": 256,
        }
    )
    OmegaConf.resolve(made)

    async def main():
        server = Server(output=TokenOutput)
        real = AgentLoopWorker(made, server)
        found = get_dataset_class(made.data)(made.data.train_files, real.tokenizer, made.data)
        batch = DataProto.from_single_dict(collate_fn([found[2], found[3]])).repeat(2)
        try:
            return await real.generate_sequences(batch)
        finally:
            await close(server)

    batch = asyncio.run(main())
    assert batch.batch["rm_scores"].sum(-1).tolist() == [1.0, 1.0, 0.0, 0.0]
    assert batch.batch["responses"].shape == batch.batch["rollout_log_probs"].shape == (4, 256)
    assert batch.batch["response_mask"].sum(-1).min() > 0
    assert batch.meta_info["reward_extra_keys"][:2] == ["reached", "count_"]
    assert batch.non_tensor_batch["count_"].tolist() == [2.0] * 4

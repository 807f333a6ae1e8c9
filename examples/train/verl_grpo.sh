#!/usr/bin/env bash
# GRPO with verl 0.9.1 on an environment of Athlos. Needs GPUs; further arguments go to verl.
set -euo pipefail
here=$(dirname "$0")

python -m verl.trainer.main_ppo \
    algorithm.adv_estimator=grpo \
    data.custom_cls.path=pkg://athlos.train.verl \
    data.custom_cls.name=TaskDataset \
    +data.athlos.environment=./examples/counter.py \
    data.train_files=[split:train] \
    data.val_files=[split:test] \
    data.train_batch_size=32 \
    data.max_prompt_length=1024 \
    data.max_response_length=3072 \
    actor_rollout_ref.model.path=Qwen/Qwen3-4B-Instruct-2507 \
    actor_rollout_ref.actor.ppo_mini_batch_size=32 \
    actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=2 \
    actor_rollout_ref.rollout.name=vllm \
    actor_rollout_ref.rollout.n=8 \
    actor_rollout_ref.rollout.calculate_log_probs=true \
    actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=2 \
    actor_rollout_ref.rollout.agent.default_agent_loop=athlos \
    actor_rollout_ref.rollout.agent.agent_loop_config_path="$here/verl_agent_loop.yaml" \
    trainer.n_gpus_per_node=1 \
    trainer.nnodes=1 \
    "$@"

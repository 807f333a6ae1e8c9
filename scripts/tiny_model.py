"""Makes the tiny model of the tests: a tokenizer, a chat template and, if asked, weights.

    python scripts/tiny_model.py FOLDER              the tokenizer that tests/data/tiny holds
    python scripts/tiny_model.py FOLDER --weights    and a Qwen2 of 1.3 M parameters
    python scripts/tiny_model.py FOLDER --train      the tokenizer trained anew

Weights take some minutes of training. It says nothing sensible, but it calls tools in its format,
a real server loads it in a minute, and every token of it is real.
Everything is drawn from fixed seeds. A newly trained tokenizer equals the one in tests/data/tiny on
the Python 3.11 that made it; another patch release has other sources to train on, so what needs
equal token ids takes the copy, which is the default.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Any

COMMITTED = Path(__file__).resolve().parent.parent / "tests" / "data" / "tiny"
FILES = ("tokenizer.json", "tokenizer_config.json")
VOCABULARY = 2048
SEED = 4

# Marks of the turn are special, so decoding skips them; marks within a turn are text, as in Qwen3.
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MARKS = (
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
)

# Words, single digits, runs of punctuation, line ends: a word keeps the space before it.
SPLIT = r" ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

# The turns of ChatML with the tool calls of Hermes. Reasoning is kept only behind the last question
# of a person, as Qwen3 does, so a prompt need not begin with the one before it.
CHAT_TEMPLATE = r"""
{%- set first = messages[0] if messages else none %}
{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if first and first.role in ("system", "developer") %}
        {{- first.content + '\n\n' }}
    {%- endif %}
    {{- 'Functions you may call, one JSON schema a line:\n' }}
    {%- for tool in tools %}
        {{- tool | tojson }}
        {{- '\n' }}
    {%- endfor %}
    {{- 'For each call write\n<tool_call>\n{"name": NAME, "arguments": OBJECT}\n</tool_call>' }}
    {{- '<|im_end|>\n' }}
{%- elif first and first.role in ("system", "developer") %}
    {{- '<|im_start|>system\n' + first.content + '<|im_end|>\n' }}
{%- endif %}
{%- set at = namespace(question=-1) %}
{%- for message in messages if message.role == 'user' %}
    {%- set at.question = at.question + 1 %}
{%- endfor %}
{%- set seen = namespace(questions=-1) %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == 'user' %}
        {%- set seen.questions = seen.questions + 1 %}
        {{- '<|im_start|>user\n' + content + '<|im_end|>\n' }}
    {%- elif message.role in ("system", "developer") %}
        {%- if not loop.first %}
            {{- '<|im_start|>system\n' + content + '<|im_end|>\n' }}
        {%- endif %}
    {%- elif message.role == 'assistant' %}
        {%- set thought = '' %}
        {%- if message.reasoning is string %}
            {%- set thought = message.reasoning %}
        {%- elif message.reasoning_content is string %}
            {%- set thought = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set thought = content.split('</think>')[0].split('<think>')[-1] %}
            {%- set content = content.split('</think>')[-1].lstrip('\n') %}
        {%- endif %}
        {{- '<|im_start|>assistant\n' }}
        {%- if seen.questions == at.question and (thought or loop.last) %}
            {{- '<think>\n' + thought.strip('\n') + '\n</think>\n\n' + content.lstrip('\n') }}
        {%- else %}
            {{- content }}
        {%- endif %}
        {%- for call in message.tool_calls or [] %}
            {%- set function = call.function or call %}
            {%- if not loop.first or content %}
                {{- '\n' }}
            {%- endif %}
            {{- '<tool_call>\n{"name": "' + function.name + '", "arguments": ' }}
            {%- if function.arguments is string %}
                {{- function.arguments }}
            {%- else %}
                {{- function.arguments | tojson }}
            {%- endif %}
            {{- '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == 'tool' %}
        {%- if loop.previtem is not defined or loop.previtem.role != 'tool' %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\n<tool_response>\n' + content + '\n</tool_response>' }}
        {%- if loop.last or loop.nextitem.role != 'tool' %}
            {{- '<|im_end|>\n' }}
        {%- endif %}
    {%- else %}
        {{- raise_exception('no such role: ' + message.role) }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}
""".strip()

# Modules that hardly change within a Python version.
SOURCES = (
    "abc", "argparse", "ast", "base64", "bisect", "calendar", "codecs", "collections/__init__",
    "configparser", "contextlib", "copy", "csv", "dataclasses", "datetime", "decimal", "difflib",
    "enum", "fractions", "functools", "heapq", "html/parser", "inspect", "json/decoder",
    "json/encoder", "logging/__init__", "random", "statistics", "string", "textwrap", "tokenize",
    "turtle", "typing", "uuid", "zipfile",
)  # fmt: skip


class MissingError(Exception):
    """A library that this needs is not there; the message says which Python to take."""


def chat_texts(rng: random.Random, count: int) -> list[str]:
    """Chats, JSON and tool calls, so that these are made of whole words and short brackets."""
    names = ("get_weather", "search", "calculate", "read_file", "submit_answer", "add", "move")
    keys = ("city", "query", "expression", "path", "answer", "amount", "direction", "value")
    cities = ("SF", "LA", "Paris", "Berlin", "Tokyo", "Oslo", "Lima")
    asks = (
        "What is the weather in {city}?",
        "How many apples are left after {n} of {m} were eaten?",
        "Find the answer and give it as a number.",
        "Please call the tool for {city}, then say what you found.",
        "Compute {n} + {m} and explain each step.",
    )
    says = (
        "The answer is {n}.",
        "It is sunny in {city}, and {n} degrees.",
        "I should call the tool first, because I do not know the weather.",
        "Let me think: {n} and {m} make {s}.",
    )
    texts = []
    for _ in range(count):
        n, m = rng.randrange(100), rng.randrange(100)
        fill = {"city": rng.choice(cities), "n": n, "m": m, "s": n + m}
        value: Any = rng.choice([fill["city"], n, f"{n} + {m}", True, None, [n, m]])
        name, key = rng.choice(names), rng.choice(keys)
        call = {"name": name, "arguments": {key: value}}
        schema = {
            "type": "function",
            "function": {
                "name": name,
                "description": f"Returns the {key} that was asked for.",
                "parameters": {
                    "type": "object",
                    "properties": {key: {"type": rng.choice(["string", "integer", "number"])}},
                    "required": [key],
                },
            },
        }
        texts += [
            f"system\nYou are a helpful assistant.\n{json.dumps(schema)}\n",
            f"user\n{rng.choice(asks).format(**fill)}",
            f"assistant\n{rng.choice(says).format(**fill)}",
            f"\n{json.dumps(call)}\n",
            json.dumps({key: value, "result": fill["s"], "ok": True}),
        ]
    return texts


def corpus() -> list[str]:
    """The training text, in a fixed order."""
    library = Path(sysconfig.get_path("stdlib"))
    sources = [(library / f"{name}.py").read_text(encoding="utf-8") for name in SOURCES]
    return sources + chat_texts(random.Random(SEED), 400)


def train(folder: Path) -> None:
    """Trains the tokenizer and writes its files.

    Raises:
        MissingError: There is no `tokenizers` library.
    """
    try:
        from tokenizers import (
            AddedToken,
            Regex,
            Tokenizer,
            decoders,
            models,
            pre_tokenizers,
            processors,
            trainers,
        )
    except ImportError as e:
        raise MissingError(f"training needs the package `tokenizers` ({e}): pip install it") from e
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL) - len(MARKS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in SPECIAL])
    tokenizer.add_tokens([AddedToken(mark, special=False) for mark in MARKS])
    tokenizer.save(str(folder / FILES[0]), pretty=False)
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": None,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 32768,
        "chat_template": CHAT_TEMPLATE,
    }
    text = json.dumps(settings, indent=2, ensure_ascii=False)
    (folder / FILES[1]).write_text(text + "\n", encoding="utf-8")


def add_weights(folder: Path) -> int:
    """Writes a model that fits the tokenizer, taught to call tools; returns its parameters.

    Raises:
        MissingError: There is no torch, or no transformers.
    """
    try:
        import torch
        from tiny_lessons import teach
        from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
    except ImportError as e:
        raise MissingError(
            f"--weights needs torch and transformers ({e}). `bash scripts/test-backends` makes an "
            "environment that has them: .backends/vllm/bin/python scripts/tiny_model.py ..."
        ) from e
    added = json.loads((folder / FILES[0]).read_text(encoding="utf-8"))["added_tokens"]
    ids = {token["content"]: token["id"] for token in added}
    torch.manual_seed(SEED)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32768,
        tie_word_embeddings=False,  # tied, it repeats itself
        bos_token_id=None,
        eos_token_id=ids["<|im_end|>"],
        pad_token_id=ids["<|endoftext|>"],
    )
    model = Qwen2ForCausalLM(config).to(torch.float32)
    teach(model, PreTrainedTokenizerFast.from_pretrained(folder), SEED)
    model.generation_config.eos_token_id = ids["<|im_end|>"]
    model.save_pretrained(folder)
    return sum(p.numel() for p in model.parameters())


def main() -> None:
    """Reads the arguments and makes the folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the files go; made if it is not there")
    parser.add_argument("--weights", action="store_true", help="train and write a model, too")
    parser.add_argument("--train", action="store_true", help="train the tokenizer anew")
    options = parser.parse_args()
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if options.train:
            train(folder)
        elif folder.resolve() != COMMITTED:
            for name in FILES:
                shutil.copyfile(COMMITTED / name, folder / name)
        parameters = add_weights(folder) if options.weights else 0
    except MissingError as e:
        sys.exit(f"{parser.prog}: {e}")
    weights = f", {parameters:,} weights" if parameters else ""
    sys.stdout.write(f"{folder}: a tokenizer of {VOCABULARY} tokens{weights}\n")


if __name__ == "__main__":
    main()

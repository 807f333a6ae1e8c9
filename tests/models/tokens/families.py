"""Small tokenizers with the special tokens of real model families, trained in a moment."""

from functools import cache
from pathlib import Path

from tests.models.tokens.fake_harmony import fake_harmony
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from athlos.models.tokens import Renderer, Tokenizer, load_renderer, load_tokenizer

TINY = Path(__file__).parents[2] / "data" / "tiny"

THINK = ("<think>", "</think>")
HERMES = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")

# Special tokens, then marks that decoding does not skip, as the families' own tokenizers have it.
TOKENS = {
    "qwen3": (("<|endoftext|>", "<|im_start|>", "<|im_end|>"), (*THINK, *HERMES)),
    "qwen3.5": (
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
         "<|image_pad|>", "<|video_pad|>"),
        (*THINK, *HERMES),
    ),
    "llama-3": (
        ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
         "<|eot_id|>", "<|eom_id|>"),
        (),
    ),
    "gpt-oss": (
        ("<|startoftext|>", "<|endoftext|>", "<|return|>", "<|constrain|>", "<|channel|>",
         "<|start|>", "<|end|>", "<|message|>", "<|call|>"),
        (),
    ),
    "gemma4": (
        ("<pad>", "<eos>", "<bos>", "<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|think|>",
         "<|tool>", "<tool|>", "<|tool_call>", "<tool_call|>", "<|tool_response>",
         "<tool_response|>", "<|image>", "<|image|>", "<image|>", '<|"|>'),
        (),
    ),
    "glm-4.5": (
        ("<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>",
         "<|observation|>"),
        (*THINK, *HERMES, "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", "/nothink"),
    ),
}  # fmt: skip

# What comes as text in the templates, and a little of everything else.
CORPUS = (
    "system user assistant tool developer model analysis final commentary functions ipython\n",
    'For each call return {"name": "search", "arguments": {"query": "weather in Paris"}}\n',
    "The quick brown fox jumps over the lazy dog. 0123456789 + - * / = ( ) [ ] { } \" ' : ; , .\n",
    "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\nthinking about it, so\n",
)


@cache
def tokenizer(family: str) -> Tokenizer:
    """A byte-level BPE with the family's added tokens; `tiny` is the one of the tests' model."""
    if family == "tiny":
        return load_tokenizer(TINY)
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator([line for line in CORPUS for _ in range(8)], trainer)
    special, marks = TOKENS[family]
    backend.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    backend.add_tokens([AddedToken(t, special=False, normalized=False) for t in marks])
    return Tokenizer(backend, name_or_path=f"test/{family}")


@cache
def renderer(family: str, *, keep_reasoning: bool = True) -> Renderer:
    """The family's renderer on its small tokenizer."""
    if family == "tiny":
        return load_renderer(TINY, keep_reasoning=keep_reasoning)
    if family == "gpt-oss":
        with fake_harmony(tokenizer(family)):
            return load_renderer(tokenizer(family), family=family, keep_reasoning=keep_reasoning)
    return load_renderer(tokenizer(family), family=family, keep_reasoning=keep_reasoning)

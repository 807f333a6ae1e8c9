"""The stub's tokenizer and chat template: real ones, read from a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from athlos.errors import ConfigError

__all__ = ["ChatTokenizer", "TemplateError"]

Body = dict[str, Any]


class TemplateError(Exception):
    """The chat template does not take these messages."""


class ChatTokenizer:
    """Text to ids and back, and messages to text.

    Args:
        folder: Holds `tokenizer.json` and `tokenizer_config.json`, as `transformers` writes them;
            the template is in the latter or in `chat_template.jinja`.

    Attributes:
        end_id: The token that ends a turn.
        size: How many ids there are.

    Raises:
        ConfigError: A library or a file is missing.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError as e:
            raise ConfigError(
                f"the stub server needs a library that is not installed: {e}",
                hint="pip install tokenizers jinja2",
            ) from e
        self._tokenizer = Tokenizer.from_str(_read(folder / "tokenizer.json"))
        config: Body = json.loads(_read(folder / "tokenizer_config.json"))
        alone = folder / "chat_template.jinja"
        source = _read(alone) if alone.is_file() else config.get("chat_template") or ""
        self._special = {
            name: _content(config[name])
            for name in ("bos_token", "eos_token", "pad_token", "unk_token")
            if config.get(name)
        }
        end = self._tokenizer.token_to_id(self._special.get("eos_token", ""))
        if end is None or not source:
            raise ConfigError(f"{folder} names no eos_token of its vocabulary, or no chat template")
        self.end_id: int = end
        self.size: int = self._tokenizer.get_vocab_size()
        added = self._tokenizer.get_added_tokens_decoder()
        self.added = frozenset(added)
        self.special = frozenset(at for at, token in added.items() if token.special)
        self._template = _compile(source)
        self.token_text = lru_cache(maxsize=self.size)(self._token_text)

    def encode(self, text: str) -> list[int]:
        """The ids of a text, marks like `<|im_end|>` included."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int], *, special: bool = True) -> str:
        """The text of ids; without special tokens if `special` is false."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=not special)
        return text

    def pieces(self, ids: Sequence[int], *, special: bool = True) -> list[str]:
        """What each id adds to the text; "" while a character is incomplete."""
        from tokenizers.decoders import DecodeStream

        stream = DecodeStream(skip_special_tokens=not special)
        parts = [stream.step(self._tokenizer, at) or "" for at in ids]
        missing = self.decode(ids, special=special)[len("".join(parts)) :]
        if missing:  # the text ends within a character
            parts[-1] += missing
        return parts

    def symbol(self, at: int) -> str:
        """The id as the vocabulary writes it (a space is "Ġ", for example)."""
        return self._tokenizer.id_to_token(at) or ""

    def id_of(self, symbol: str) -> int | None:
        """The id of what the vocabulary writes so; None if it has no such token."""
        found: int | None = self._tokenizer.token_to_id(symbol)
        return found

    def render(
        self,
        messages: Sequence[Body],
        tools: Sequence[Body] | None = None,
        *,
        generate: bool = True,
        **values: Any,
    ) -> str:
        """The text that the model sees; `values` are further variables of the template.

        Raises:
            TemplateError: The template does not take the messages.
        """
        from jinja2 import TemplateError as JinjaError

        known = {**self._special, **values}
        try:
            return str(
                self._template.render(
                    messages=list(messages),
                    tools=list(tools) if tools else None,
                    add_generation_prompt=generate,
                    **known,
                )
            )
        except (JinjaError, TypeError, AttributeError) as e:
            raise TemplateError(str(e)) from e

    def _token_text(self, at: int) -> str:
        """The text of one id, by itself; "" if it is part of a character."""
        text = self.decode([at])
        return "" if "\ufffd" in text else text


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as e:
        raise ConfigError(
            f"the stub server has no tokenizer: {e}",
            hint="give a folder with tokenizer.json and tokenizer_config.json",
        ) from e


def _content(token: Any) -> str:
    return token["content"] if isinstance(token, dict) else str(token)


def _compile(source: str) -> Any:
    """The template, compiled with the names that `transformers` gives to chat templates."""
    try:
        from jinja2 import TemplateError as JinjaError
        from jinja2.ext import loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError as e:
        raise ConfigError(
            f"the stub server needs a library that is not installed: {e}",
            hint="pip install tokenizers jinja2",
        ) from e

    def tojson(value: Any, indent: int | None = None, **_: Any) -> str:
        return json.dumps(value, ensure_ascii=False, indent=indent)

    def fail(message: str) -> None:
        raise JinjaError(message)

    def now(form: str) -> str:
        return datetime(2026, 1, 1).strftime(form)  # noqa: DTZ001 - the same on every day

    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    made.filters["tojson"] = tojson
    made.globals.update(raise_exception=fail, strftime_now=now)
    return made.from_string(source)

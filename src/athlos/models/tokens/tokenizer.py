"""Tokenizers from a model's folder: text to ids and back, and the model's chat template.

A wrapper around the `tokenizers` library, with the methods that the `renderers` library asks of a
tokenizer. Nothing here needs transformers, and no code of a model's repository is ever run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

from athlos.errors import ConfigError
from athlos.models.tokens.extra import required
from athlos.models.tokens.guard import MARK, Finder, unwrap
from athlos.models.tokens.template import ChatTemplate

__all__ = ["Tokenizer", "load_tokenizer"]

FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "generation_config.json",
)
HUB_TIMEOUT = 10.0  # seconds for each answer of the hub
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_BREAK = "\ue0f2"  # a token of its own in the plain twin: what follows does not open a text


class Tokenizer:
    """A tokenizer and what its folder says about it.

    Args:
        backend: A `tokenizers.Tokenizer`.
        name_or_path: The model's name; `renderers` recognises families by it.
        config: What `tokenizer_config.json` holds.
        chat_template: Jinja text, or texts by name as some configurations have them.
        stop_token_ids: What `generation_config.json` says ends a turn, if it was there.
    """

    def __init__(
        self,
        backend: Any,
        *,
        name_or_path: str = "",
        config: Mapping[str, Any] | None = None,
        chat_template: str | Mapping[str, str] | None = None,
        stop_token_ids: Sequence[int] = (),
    ) -> None:
        self.backend = backend
        self.name_or_path = name_or_path
        self.generation_stop_ids = tuple(stop_token_ids)
        config = config or {}
        self.special_tokens_map = {
            key: text
            for key, value in config.items()
            if key.endswith("_token") and (text := _token_text(value)) is not None
        }
        if chat_template is None:
            chat_template = _template_of(config.get("chat_template"))
        texts = {"default": chat_template} if isinstance(chat_template, str) else chat_template
        self._templates = {
            name: ChatTemplate(text, self.special_tokens_map)
            for name, text in (texts or {}).items()
        }
        # Text of each added token -> (id, special, takes the blanks before, takes those behind).
        self.added: dict[str, tuple[int, bool, bool, bool]] = {
            token.content: (id, token.special, token.lstrip, token.rstrip)
            for id, token in backend.get_added_tokens_decoder().items()
        }

    @property
    def chat_template(self) -> str | None:
        """The Jinja text of the default template, or None."""
        template = self._templates.get("default") or next(iter(self._templates.values()), None)
        return template.source if template else None

    @property
    def digest(self) -> str:
        """A hash of the vocabulary, the rules and the template: other ids mean another one."""
        text = self.backend.to_str() + (self.chat_template or "")
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

    @property
    def all_special_tokens(self) -> list[str]:
        """Texts of the tokens that decoding may skip."""
        return [text for text, (_, special, _, _) in self.added.items() if special]

    @property
    def eos_token_id(self) -> int | None:
        """Id of the token that ends a text, if the configuration names one."""
        return self._named("eos_token")

    @property
    def unk_token_id(self) -> int | None:
        """Id that stands for unknown tokens, if there is one."""
        return self._named("unk_token")

    def _named(self, key: str) -> int | None:
        text = self.special_tokens_map.get(key)
        return None if text is None else self.backend.token_to_id(text)

    def __len__(self) -> int:
        return int(self.backend.get_vocab_size())

    def encode(self, text: str, add_special_tokens: bool = False, **_: Any) -> list[int]:
        """Ids of a text. Nothing is put before or behind it, whatever the post-processor says.

        Where the text has marks of `guard.Guard`, they are removed and what they stood in becomes
        ordinary tokens.
        """
        if MARK in text:
            return self._encode_marked(text)
        try:
            return list(self.backend.encode(text, add_special_tokens=False).ids)
        except (UnicodeEncodeError, TypeError):  # lone surrogates: JSON can hold them, UTF-8 cannot
            return list(self.backend.encode(_utf8(text), add_special_tokens=False).ids)

    def decode(self, token_ids: Iterable[int], skip_special_tokens: bool = False, **_: Any) -> str:
        """Text of ids; ids that the vocabulary does not have are left out."""
        if isinstance(token_ids, int):
            token_ids = [token_ids]
        return str(self.backend.decode(list(token_ids), skip_special_tokens=skip_special_tokens))

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """Id of a token's text, or ids of a list; the unknown token's, or None, if it has none."""
        if not isinstance(tokens, str):
            return [self.convert_tokens_to_ids(token) for token in tokens]
        found = self.backend.token_to_id(tokens)
        return self.unk_token_id if found is None else found

    def render_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = False,
        **variables: Any,
    ) -> str:
        """The chat template's text of a conversation.

        Raises:
            ConfigError: The model has no chat template.
            ValueError: The template refuses the conversation.
        """
        wanted = self._templates.get("tool_use") if tools else None
        template = wanted or self._templates.get("default")
        if template is None:
            raise ConfigError(
                f"The tokenizer {self.name_or_path!r} has no chat template",
                hint="Put a chat_template.jinja beside its tokenizer.json",
            )
        return template.render(
            messages, tools=tools, add_generation_prompt=add_generation_prompt, **variables
        )

    def apply_chat_template(
        self,
        conversation: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = False,
        tokenize: bool = True,
        return_dict: bool = False,
        **variables: Any,
    ) -> Any:
        """As transformers' method of this name: text, ids, or ids in a dict."""
        text = self.render_chat(
            conversation, tools=tools, add_generation_prompt=add_generation_prompt, **variables
        )
        if not tokenize:
            return text
        ids = self.encode(text)
        return {"input_ids": ids, "attention_mask": [1] * len(ids)} if return_dict else ids

    # -- text with marks

    @cached_property
    def _plain(self) -> Any:
        """The same tokenizer without its added tokens: what it makes is ordinary text."""
        state = json.loads(self.backend.to_str())
        state["added_tokens"] = []
        state["post_processor"] = None
        twin = required("tokenizers").Tokenizer.from_str(json.dumps(state))
        twin.add_special_tokens([_BREAK])
        return twin

    @cached_property
    def _finder(self) -> Finder:
        return Finder(self.added)

    def _encode_marked(self, text: str) -> list[int]:
        ids: list[int] = []
        done, strip = 0, False
        for at, token in self._finder.find(text):
            if at < done:  # within the last one
                continue
            id, _, strip_before, strip_behind = self.added[token]
            piece = text[done:at]
            ids += self._encode_plain(
                piece.rstrip() if strip_before else piece, strip=strip, first=done == 0
            )
            ids.append(id)
            done, strip = at + len(token), strip_behind
        return ids + self._encode_plain(text[done:], strip=strip, first=done == 0)

    def _encode_plain(self, piece: str, *, strip: bool, first: bool) -> list[int]:
        plain = _utf8(unwrap(piece.lstrip() if strip else piece))
        if not plain:
            return []
        if first:
            return list(self._plain.encode(plain, add_special_tokens=False).ids)
        # Some tokenizers treat the first piece of a text in another way.
        return list(self._plain.encode(_BREAK + plain, add_special_tokens=False).ids[1:])


def load_tokenizer(source: str | Path, *, name: str = "") -> Tokenizer:
    """Loads a tokenizer.

    Args:
        source: A folder with `tokenizer.json`, that file itself, or a model's name on the Hugging
            Face hub; the latter needs `huggingface_hub`, and the files in its cache or a network.
        name: The model's name, if `source` does not say it.

    Raises:
        ConfigError: There is no tokenizer there, or the extra `tokens` is not installed.
    """
    library = required("tokenizers")
    path = Path(source).expanduser()
    if path.is_dir():
        files = {file: path / file for file in FILES if (path / file).is_file()}
    elif path.is_file():
        files = {file: path.parent / file for file in FILES if (path.parent / file).is_file()}
        files["tokenizer.json"] = path
    elif _HUB_NAME.fullmatch(str(source)):
        files = _from_hub(str(source))
        name = name or str(source)
    else:
        raise ConfigError(
            f"No tokenizer at {str(source)!r}: no such file or folder",
            hint="Give a folder with tokenizer.json, that file, or a name such as Qwen/Qwen3-4B",
        )
    if "tokenizer.json" not in files:
        raise ConfigError(
            f"No tokenizer.json in {path}",
            hint="Save the model's fast tokenizer there; other formats are not read",
        )
    try:
        backend = library.Tokenizer.from_file(str(files["tokenizer.json"]))
    except Exception as error:  # the library raises bare exceptions over a file that it cannot read
        raise ConfigError(f"Cannot read {files['tokenizer.json']}: {error}") from error
    backend.no_truncation()
    backend.no_padding()
    config = _json_file(files, "special_tokens_map.json")
    config |= _json_file(files, "tokenizer_config.json")
    template: str | None = None
    if "chat_template.jinja" in files:
        template = files["chat_template.jinja"].read_text(encoding="utf-8")
    stop = _json_file(files, "generation_config.json").get("eos_token_id")
    return Tokenizer(
        backend,
        name_or_path=name or str(source),
        config=config,
        chat_template=template,
        stop_token_ids=[stop] if isinstance(stop, int) else list(stop or ()),
    )


def _from_hub(name: str) -> dict[str, Path]:
    try:
        import huggingface_hub as hub
    except ImportError as error:
        raise ConfigError(
            f"No file or folder {name!r}, and huggingface_hub is not installed to look it up",
            hint="Give the path of a folder with tokenizer.json, or: pip install huggingface_hub",
        ) from error
    files: dict[str, Path] = {}
    for file in FILES:
        found = hub.try_to_load_from_cache(name, file)
        if found is None:  # else a path, or the knowledge that the model has no such file
            try:
                found = hub.hf_hub_download(name, file, etag_timeout=HUB_TIMEOUT)
            except Exception as error:  # many classes, some of the HTTP library below
                if file == "tokenizer.json":
                    raise ConfigError(
                        f"Cannot get the tokenizer of {name!r}: it is no file or folder, not in "
                        f"the hub's cache, nor could it be fetched ({type(error).__name__})",
                        hint="Without a network, give the path of a folder with tokenizer.json",
                    ) from error
                if isinstance(error, hub.errors.LocalEntryNotFoundError):
                    break  # no network: the cache is all there is, and each try takes long
        if isinstance(found, str):
            files[file] = Path(found)
    return files


def _json_file(files: Mapping[str, Path], name: str) -> dict[str, Any]:
    if name not in files:
        return {}
    try:
        value = json.loads(files[name].read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{files[name]} is not JSON: {error}") from error
    return value if isinstance(value, dict) else {}


def _token_text(value: Any) -> str | None:
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else None


def _template_of(value: Any) -> str | dict[str, str] | None:
    if isinstance(value, list):
        return {entry["name"]: entry["template"] for entry in value}
    return value if isinstance(value, str) else None


def _utf8(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

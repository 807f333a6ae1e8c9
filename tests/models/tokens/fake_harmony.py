"""A stand-in for OpenAI's Harmony encoder, whose vocabulary can only be downloaded.

It writes the same messages between the same special tokens, on any tokenizer; ordinary text never
becomes a special token, as in the real one. The format that is under test (`renderers.gpt_oss`) is
the real one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from openai_harmony import DeveloperContent, SystemContent

from athlos.models.tokens import Tokenizer


class FakeHarmony:
    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def _text(self, text: str) -> list[int]:
        return self._tokenizer._plain.encode(text, add_special_tokens=False).ids

    def _token(self, name: str) -> int:
        return self._tokenizer.added[f"<|{name}|>"][0]

    def render(self, message) -> list[int]:
        header = message.author.role.value
        if header == "tool":
            header = message.author.name
        if message.recipient not in (None, "all"):
            header += f" to={message.recipient}"
        ids = [self._token("start"), *self._text(header)]
        if message.channel:
            ids += [self._token("channel"), *self._text(message.channel)]
        ids.append(self._token("message"))
        ids += self._text("".join(map(_body, message.content)))
        call = message.author.role.value == "assistant" and message.recipient not in (None, "all")
        return [*ids, self._token("call" if call else "end")]

    def render_conversation(self, conversation) -> list[int]:
        return [id for message in conversation.messages for id in self.render(message)]


def _body(content) -> str:
    if isinstance(content, SystemContent):
        return "You are a model."
    if isinstance(content, DeveloperContent):
        return "# Instructions\n\n" + content.model_dump_json(exclude_none=True)
    return content.text


@contextmanager
def fake_harmony(tokenizer: Tokenizer) -> Iterator[None]:
    """Puts the stand-in where the format loads the encoder."""
    with mock.patch("renderers.gpt_oss.load_harmony_encoding", lambda name: FakeHarmony(tokenizer)):
        yield

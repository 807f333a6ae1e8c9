"""Exact mode's token level: conversations as token ids that only ever grow.

    renderer = load_renderer("path/to/model")
    conversation = Conversation(renderer)
    prompt = conversation.prompt(messages, tools)      # .ids go to the engine
    message = renderer.parse(prompt.ids, token_ids)    # of what it sampled
    conversation.record(prompt, token_ids, message)

The next prompt begins with the ids of this one and of the sample, or says why it does not.
"""

from athlos.models.tokens.conversation import Conversation, Prompt
from athlos.models.tokens.rendering import Renderer, load_renderer
from athlos.models.tokens.tokenizer import Tokenizer, load_tokenizer

__all__ = [
    "Conversation",
    "Prompt",
    "Renderer",
    "Tokenizer",
    "load_renderer",
    "load_tokenizer",
]

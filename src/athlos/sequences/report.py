"""What became of the calls of a rollout: its sequences, and what is in none of them."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from athlos.types import Sequence

__all__ = ["Built", "Dropped", "Reason"]

Reason = Literal[
    "incomplete",
    "no_ids",
    "tokenizer_ids",
    "no_tokens",
    "no_logprobs",
    "bad_logprobs",
    "off_main",
    "overwritten",
]


class Dropped(Struct, frozen=True):
    """Sampled tokens that are not trained.

    Attributes:
        call: Number of the call, from 0.
        reason: `incomplete` if the reply was cut off; `no_ids` if prompt or sample has no token
            ids; `tokenizer_ids` if they were made from text, outside of the engine; `no_tokens` if
            nothing was sampled; `no_logprobs` if there are none; `bad_logprobs` if they are not one
            finite number up to 0 for each token; `off_main` if the policy takes the main
            conversation only; `overwritten` if the policy put what a later call saw in their place.
        tokens: How many; as the server counted them, if there are no ids.
    """

    call: int
    reason: Reason
    tokens: int


class Built(Struct):
    """The sequences of a rollout, and how they came about.

    Attributes:
        sequences: What to train on, in the order of their first calls.
        dropped: What is not trained and why, by call; a call has one entry at most.
        clean: Calls whose prompt went on with a sequence, token by token.
        realigned: Calls whose prompt went on with one after its tail was overwritten.
        forked: Calls that began a sequence although their lineage had one.
    """

    rollout_id: str
    sequences: list[Sequence]
    dropped: list[Dropped]
    clean: int = 0
    realigned: int = 0
    forked: int = 0

    @property
    def trained_tokens(self) -> int:
        """Tokens with mask 1."""
        return sum(span.end - span.start for one in self.sequences for span in one.spans)

    @property
    def dropped_tokens(self) -> int:
        """Sampled tokens that are not trained."""
        return sum(one.tokens for one in self.dropped)

"""Log-probabilities that a token's prefix decides, and nothing else.

At each place the ids have an order that a hash of the prefix decides, and their probabilities fall
geometrically along it. So each log-probability is a formula: it is the same when a token is
sampled and when its sequence is replayed as a prompt, and temperature, top-k and top-p change it
as they do at a real server.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal

from msgspec import Struct

__all__ = ["Distribution", "Shape", "TokenLogprob"]

_MASK = (1 << 64) - 1
_FALL = 6.0  # from the likeliest id to the least likely, in log-probability


class Shape(Struct, frozen=True):
    """What sampling makes of the model's own probabilities."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0


class TokenLogprob(Struct, frozen=True):
    """An id at a place: its log-probability, and its rank among all, from 1."""

    id: int
    logprob: float
    rank: int


class Distribution:
    """The probabilities of the stub's "model".

    Args:
        size: How many ids there are.
        seed: Another seed is another model.
        mode: `processed`: what is reported of samples is of the distribution that was sampled
            from; `raw`: before temperature, top-k and top-p. What is reported of prompts is
            always raw, as vLLM does.
    """

    def __init__(
        self, size: int, *, seed: int = 0, mode: Literal["raw", "processed"] = "raw"
    ) -> None:
        self.size = size
        self.mode = mode
        self._seed = seed
        self._slope = _FALL / size
        self._law = lru_cache(maxsize=64)(self._make_law)
        self._weights = lru_cache(maxsize=64)(self._make_weights)

    def state(self, ids: Sequence[int], state: int = 0) -> int:
        """The state after some more ids."""
        for at in ids:
            state = ((state ^ (at + 1)) * 0x9E3779B97F4A7C15 + 0x7F4A7C15) & _MASK
            state ^= state >> 29
        return state

    def sampled(
        self, state: int, at: int, shape: Shape, weights: str, top: int = 0
    ) -> list[TokenLogprob]:
        """The sampled id after `state`, then the `top` likeliest others.

        Args:
            state: Of the prefix.
            at: The id.
            shape: How it was sampled.
            weights: The version of the weights.
            top: How many of the likeliest to add; the sampled one is not said twice.
        """
        return self._entries(
            state, at, shape if self.mode == "processed" else Shape(), weights, top
        )

    def prompt(
        self, ids: Sequence[int], weights: str, top: int = 0
    ) -> Iterator[list[TokenLogprob]]:
        """The entries of each id but the first, as if the ids were given as a prompt."""
        state = self.state(ids[:1])
        for at in ids[1:]:
            yield self._entries(state, at, Shape(), weights, top)
            state = self.state((at,), state)

    def _entries(
        self, state: int, at: int, shape: Shape, weights: str, top: int
    ) -> list[TokenLogprob]:
        slope, kept, norm = self._law(shape)
        factor, shift = self._order(state, weights)
        rank = (factor * at + shift) % self.size % kept
        entries = [TokenLogprob(at, 0.0 - slope * rank - norm, rank + 1)]
        if top:
            back = pow(factor, -1, self.size)
            for place in range(min(top, kept)):
                other = (place - shift) * back % self.size
                if other != at:
                    entries.append(TokenLogprob(other, 0.0 - slope * place - norm, place + 1))
        return entries

    def _order(self, state: int, weights: str) -> tuple[int, int]:
        mixed = ((state ^ self._weights(weights)) * 0xD1B54A32D192ED03) & _MASK
        factor = (mixed >> 32) % self.size or 1
        while math.gcd(factor, self.size) != 1:
            factor += 1
        return factor, (mixed & 0xFFFFFFFF) % self.size

    def _make_weights(self, weights: str) -> int:
        text = f"{self._seed}/{weights}".encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")

    def _make_law(self, shape: Shape) -> tuple[float, int, float]:
        """Slope, how many ids may be sampled, logarithm of the sum."""
        slope, kept = self._slope, self.size
        if shape.temperature > 0:  # 0 is greedy: nothing is scaled and nothing cut off
            slope /= shape.temperature
            if shape.top_k > 0:
                kept = min(kept, shape.top_k)
            if shape.top_p < 1:
                whole = -math.expm1(-slope * kept)
                kept = max(1, min(kept, math.ceil(-math.log1p(-shape.top_p * whole) / slope)))
        # ids that are cut off and sampled all the same take the places of others: `rank % kept`
        return slope, kept, math.log(math.expm1(-slope * kept) / math.expm1(-slope))

"""The numbers that `numpy.random.seed` and `numpy.random.randint` draw, without NumPy.

NumPy's legacy generator is the Mersenne Twister, as Python's, but is seeded in another way, and
takes bounded numbers by masks and rejection. Source: NumPy's documentation of `RandomState`.
"""

from __future__ import annotations

from random import Random

__all__ = ["NumpyDraws"]

_SIZE = 624
_MASK = 0xFFFFFFFF


class NumpyDraws:
    """Draws as `numpy.random.RandomState(seed)` would.

    Args:
        seed: 0 or more; the lowest 32 bits count.
    """

    def __init__(self, seed: int) -> None:
        words = [seed & _MASK]
        for number in range(1, _SIZE):
            last = words[-1]
            words.append((1_812_433_253 * (last ^ (last >> 30)) + number) & _MASK)
        self._random = Random()
        self._random.setstate((3, (*words, _SIZE), None))

    def below(self, limit: int) -> int:
        """A number from 0 to `limit` - 1, which is below 2**32."""
        highest = limit - 1
        if highest == 0:
            return 0
        mask = (1 << highest.bit_length()) - 1
        while (drawn := self._random.getrandbits(32) & mask) > highest:
            pass
        return drawn

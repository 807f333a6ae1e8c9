"""A ceiling of tokens or cost, for one run or for several models together."""

from __future__ import annotations

import asyncio
import math
from typing import NamedTuple, NoReturn

from athlos.errors import BudgetError, ConfigError
from athlos.types import Usage

__all__ = ["Budget", "Claim"]

_MILLION = 1e6


class Claim(NamedTuple):
    """What a call under way is expected to spend."""

    tokens: float
    cost: float


class Budget:
    """What calls may spend, and what they have spent.

    A call claims what it is expected to spend before it is sent: as much as calls spent on average
    so far, or its `max_tokens` while no call has ended; without one, the first call goes alone. It
    is refused if it does not fit into what is left; if only the claims of calls under way are in
    its way, it waits for one of them to end. So what is spent in the end is the ceiling, with an
    error of at most what calls differ from their average.

    Args:
        max_tokens: Prompt and completion tokens in all; None is no ceiling.
        max_cost: In the currency of the prices; None is no ceiling.
        prompt_price: For a million tokens; a session may have its own.
        completion_price: For a million tokens; a session may have its own.

    Attributes:
        prompt_tokens: Spent so far.
        completion_tokens: Spent so far.
        cost: Spent so far.
        calls: How many calls spent it.
        reached: Whether a call was refused; from then on every call is.

    Raises:
        ConfigError: A number is negative or not finite.
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        max_cost: float | None = None,
        prompt_price: float = 0.0,
        completion_price: float = 0.0,
    ) -> None:
        for name, value in (
            ("max_tokens", max_tokens),
            ("max_cost", max_cost),
            ("prompt_price", prompt_price),
            ("completion_price", completion_price),
        ):
            if value is not None and not 0 <= value < math.inf:
                raise ConfigError(f"{name} must be a number of at least 0, not {value}")
        self.max_tokens = max_tokens
        self.max_cost = max_cost
        self.prompt_price = prompt_price
        self.completion_price = completion_price
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.cost = 0.0
        self.calls = 0
        self.reached = False
        self._blind = False  # calls ended, and nobody said what they took
        self._claimed_tokens = 0.0
        self._claimed_cost = 0.0
        self._under_way = 0
        self._waiting: dict[asyncio.Future[None], None] = {}

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens spent so far."""
        return self.prompt_tokens + self.completion_tokens

    def reserve(
        self,
        max_tokens: int | None = None,
        prompt_price: float | None = None,
        completion_price: float | None = None,
    ) -> Claim | None:
        """Claims what one call is expected to spend; None if calls under way must end first.

        Args:
            max_tokens: What the call may sample, if that is limited.
            prompt_price: For a million tokens, if not this budget's.
            completion_price: For a million tokens, if not this budget's.

        Raises:
            BudgetError: The call does not fit into what is left.
        """
        left_tokens = _left(self.max_tokens, self.tokens)
        left_cost = _left(self.max_cost, self.cost)
        if self.reached or self._blind or min(left_tokens, left_cost) <= 0:
            self._refuse()
        if self.calls:
            prompt = self.prompt_tokens / self.calls
            completion = self.completion_tokens / self.calls
            if max_tokens is not None:
                completion = min(completion, max_tokens)
        else:
            prompt, completion = 0.0, math.inf if max_tokens is None else float(max_tokens)
        tokens = prompt + completion
        cost = self._price(prompt, completion, prompt_price, completion_price)
        if not self.calls:  # hardly any will sample all that it may: one goes, and shows
            tokens = min(tokens, left_tokens)
            cost = left_cost if max_tokens is None else min(cost, left_cost)
        tokens = 0.0 if self.max_tokens is None else tokens  # infinite claims could not be released
        cost = 0.0 if self.max_cost is None else cost
        if tokens > left_tokens or cost > left_cost:
            self._refuse()
        if tokens + self._claimed_tokens > left_tokens or cost + self._claimed_cost > left_cost:
            if self._under_way:
                return None
            self._claimed_tokens = self._claimed_cost = 0.0  # what rounding left
        self._claimed_tokens += tokens
        self._claimed_cost += cost
        self._under_way += 1
        return Claim(tokens, cost)

    async def claim(
        self,
        max_tokens: int | None = None,
        prompt_price: float | None = None,
        completion_price: float | None = None,
    ) -> Claim:
        """As `reserve`, but waits for calls under way; these end, since each has its deadline.

        Raises:
            BudgetError: The call does not fit into what is left.
        """
        while (claim := self.reserve(max_tokens, prompt_price, completion_price)) is None:
            ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting[ended] = None
            try:
                await ended
            finally:
                self._waiting.pop(ended, None)
        return claim

    def release(self, claim: Claim) -> None:
        """The call that made this claim has ended."""
        self._claimed_tokens -= claim.tokens
        self._claimed_cost -= claim.cost
        self._under_way -= 1
        waiting, self._waiting = self._waiting, {}
        for ended in waiting:
            if not ended.done():
                ended.set_result(None)

    def spend(
        self,
        usage: Usage,
        prompt_price: float | None = None,
        completion_price: float | None = None,
        *,
        calls: int = 1,
    ) -> None:
        """Counts what one call spent, or several."""
        self.prompt_tokens += usage.prompt_tokens
        self.completion_tokens += usage.completion_tokens
        self.calls += calls
        if calls and not self.tokens:
            self._blind = True  # nothing that is counted would ever reach the ceiling
        self.cost += self._price(
            usage.prompt_tokens, usage.completion_tokens, prompt_price, completion_price
        )

    def _price(
        self, prompt: float, completion: float, first: float | None, second: float | None
    ) -> float:
        first = self.prompt_price if first is None else first
        second = self.completion_price if second is None else second
        return (prompt * first + completion * second) / _MILLION

    @property
    def statement(self) -> str:
        """What was spent of what there is."""
        limits = []
        if self.max_tokens is not None:
            limits.append(f"{self.tokens:,} of {self.max_tokens:,} tokens")
        if self.max_cost is not None:
            limits.append(f"{self.cost:,.4g} of {self.max_cost:,g} in cost")
        spent = f"{' and '.join(limits)} in {self.calls:,} calls"
        if self._blind:
            return f"the server does not say how many tokens calls take: {spent}"
        return f"the budget is spent: {spent}, and the next would not fit"

    def _refuse(self) -> NoReturn:
        self.reached = True
        raise BudgetError(
            self.statement,
            hint="With a higher ceiling the run goes on where it stopped.",
        )


def _left(ceiling: float | None, spent: float) -> float:
    return math.inf if ceiling is None else ceiling - spent

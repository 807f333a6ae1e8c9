from athlos import Environment, Rollout, Task, reward, tool


class Counter(Environment):
    """Reach the target by adding numbers."""

    @classmethod
    def tasks(cls, config, split):
        for target in range(3, 103):
            yield Task(prompt=f"Bring the counter to {target}.", info={"target": target})

    async def setup(self):  # optional; self is fresh for every attempt
        self.count = 0

    @tool
    async def add(self, amount: int) -> int:
        """Add an amount to the counter.

        Args:
            amount: What to add; may be negative.
        """
        self.count += amount
        return self.count

    @reward
    def reached(self, rollout: Rollout) -> float:
        return float(self.count == self.task.info["target"])

import re

from athlos import Environment, Rollout, Task, reward, tool


class Sums(Environment):
    """Add two numbers; the last number of the answer counts."""

    @classmethod
    def tasks(cls, config, split):
        for number in range(100):
            a, b = 100 + 37 * number % 900, 100 + 91 * number % 900
            question = f"What is {a} + {b}? Use the tool, then say the sum."
            yield Task(prompt=question, info={"sum": a + b})

    @tool
    def add(self, a: int, b: int) -> int:
        """Add two numbers.

        Args:
            a: The one.
            b: The other.
        """
        return a + b

    @reward
    def correct(self, rollout: Rollout) -> float:
        numbers = re.findall(r"-?\d+", rollout.answer)
        return float(numbers[-1:] == [str(self.task.info["sum"])])

"""Tasks for the verifiers that the gate is tried on: each verifier differs in its reward only."""

from athlos import Environment, Task

CAPITALS = {
    "France": "Paris", "Japan": "Tokyo", "Kenya": "Nairobi", "Peru": "Lima", "Norway": "Oslo",
    "Egypt": "Cairo", "Cuba": "Havana", "Austria": "Vienna",
}  # fmt: skip


def halves(items, split):
    """The items of a split: no item is in both."""
    return [item for i, item in enumerate(items) if i % 2 == (split == "train")]


class Capitals(Environment):
    """Name a capital."""

    @classmethod
    def tasks(cls, config, split):
        for country, capital in halves(CAPITALS.items(), split):
            prompt = f"What is the capital of {country}? Answer with its name only."
            yield Task(prompt=prompt, info={"expected_answer": capital}, id=country)

    @property
    def gold(self):
        return self.task.info["expected_answer"]


class Sums(Environment):
    """Add two numbers."""

    @classmethod
    def tasks(cls, config, split):
        for a in halves(range(23, 43), split):
            prompt = f"What is {a} and {a * a} together? Answer with a number only."
            yield Task(prompt=prompt, info={"expected_answer": a + a * a}, id=str(a))

    @property
    def gold(self):
        return self.task.info["expected_answer"]


class Choice(Environment):
    """Choose a letter."""

    @classmethod
    def tasks(cls, config, split):
        for i, (country, capital) in enumerate(halves(CAPITALS.items(), split)):
            others = [name for name in CAPITALS.values() if name != capital][:3]
            texts = [*others[: i % 4], capital, *others[i % 4 :]]
            options = dict(zip("ABCD", texts, strict=True))
            shown = "\n".join(f"{letter}: {text}" for letter, text in options.items())
            prompt = f"Which is the capital of {country}?\n{shown}\nAnswer with a letter only."
            info = {"options": [options], "expected_answer": "ABCD"[i % 4]}
            yield Task(prompt=prompt, info=info, id=country)

    @property
    def gold(self):
        return self.task.info["expected_answer"]


class YesNo(Environment):
    """Say whether a number is even."""

    @classmethod
    def tasks(cls, config, split):
        for number in halves([n + n // 4 % 2 for n in range(100, 160, 2)], split):
            info = {"expected_answer": "no" if number % 2 else "yes"}
            yield Task(prompt=f"Is {number} even? Say yes or no.", info=info, id=str(number))

    @property
    def gold(self):
        return self.task.info["expected_answer"]

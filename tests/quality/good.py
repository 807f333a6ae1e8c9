"""Verifiers of the same tasks in which nothing is to be found."""

import re

from quality_tasks import Capitals, Choice, Sums, YesNo, halves

from athlos import Environment, JudgeError, Message, Task, ToolError, reward, tool
from athlos.testing import call


class Exact(Capitals):
    @reward
    def correct(self, rollout):
        return float(rollout.answer.strip(" .\n").casefold() == self.gold.casefold())


class Number(Sums):
    @reward
    def correct(self, rollout):
        found = re.fullmatch(r"\s*([+-]?[0-9]{1,50})\s*", rollout.answer)
        return float(found is not None and int(found[1]) == self.gold)


class CloseNumber(Sums):
    @reward
    def correct(self, rollout):
        found = re.fullmatch(r"\s*([+-]?[0-9]{1,50}(?:\.[0-9]{1,20})?)\s*", rollout.answer)
        return float(found is not None and abs(float(found[1]) - self.gold) < 1e-6)


class InWorker(Sums):
    @reward(process=True, timeout=20)
    def correct(self, rollout):
        return float(rollout.answer.strip() == str(self.gold))


class Letter(Choice):
    @reward
    def correct(self, rollout):
        return float(rollout.answer.strip(" .") == self.gold)


class Word(YesNo):
    @reward
    def correct(self, rollout):
        return float(rollout.answer.strip(" .\n").lower() == self.gold)


class Judged(Capitals):
    roles = ("judge",)

    @reward
    async def correct(self, rollout):
        reply = await self.models["judge"].chat([Message("user", f"Right? {rollout.answer}")])
        verdict = reply.message.text.strip(" .\n").lower()
        if verdict not in ("yes", "no"):
            raise JudgeError(f"the judge said {verdict!r:.50}")
        return float(verdict == "yes")


class SeatBooked(Environment):
    """Book a seat."""

    @classmethod
    def tasks(cls, config, split):
        for seat in halves(range(11, 31), split):
            yield Task(prompt=f"Book seat {seat}.", info={"target": seat}, id=str(seat))

    def setup(self):
        self.booked = None

    def oracle(self):
        yield call("get_free", row=1)
        yield call("book", seat=self.task.info["target"])
        yield f"Seat {self.booked} is booked."

    @tool
    def get_free(self, row: int) -> list[int]:
        """List the free seats of a row.

        Args:
            row: Its number, from 1 to 4.
        """
        return list(range(10 * row - 9, 10 * row + 1))[:10]

    @tool
    def book(self, seat: int) -> str:
        """Book a seat, once.

        Args:
            seat: Its number, from 1 to 40.
        """
        if not 1 <= seat <= 40:
            raise ToolError("There is no such seat.")
        if self.booked is not None:
            raise ToolError("You have booked a seat.")
        self.booked = seat
        return "Booked."

    @reward
    def correct(self, rollout):
        return float(self.booked == self.task.info["target"])


class Hints(Environment):
    """Find a number with hints; the attempt's seed decides which."""

    @classmethod
    def tasks(cls, config, split):
        for game in range(20):
            yield Task(prompt="Guess my number from 1 to 1000.", id=f"{split}-{game}")

    def setup(self):
        self.secret = self.rng.randint(1, 1000)
        self.found = False

    def oracle(self):
        low, high = 1, 1000
        guess = 0

        def policy(messages):
            nonlocal low, high, guess
            if messages[-1].text == "Higher.":
                low = guess + 1
            elif messages[-1].text == "Lower.":
                high = guess - 1
            guess = (low + high) // 2
            return str(guess)

        return policy

    def reply(self, message):
        if not re.fullmatch(r"[0-9]{1,4}", message.text):
            return "I see no number."
        self.found = int(message.text) == self.secret
        if self.found:
            return None
        return "Higher." if int(message.text) < self.secret else "Lower."

    @reward
    def correct(self, rollout):
        return float(self.found)


class AnswerLine(Sums):
    """The prompt asks for a last line."""

    @classmethod
    def tasks(cls, config, split):
        for task in super().tasks(config, split):
            prompt = (
                f"{task.prompt.removesuffix(' Answer with a number only.')} End with 'Answer: N'."
            )
            yield Task(prompt=prompt, info={"answer": str(task.info["expected_answer"])})

    @reward
    def correct(self, rollout):
        found = re.search(r"^Answer: ([0-9]{1,50})\Z", rollout.answer, re.MULTILINE)
        return float(found is not None and found[1] == self.task.info["answer"])


class Share(Environment):
    """List words; each right one earns its share, and each wrong one costs as much."""

    @classmethod
    def tasks(cls, config, split):
        for number in halves(range(20, 40), split):
            words = [f"{letter}{number * k}w" for k, letter in enumerate("azbycxdw", start=1)]
            found = [word for word in words if word[0] in "abcd"]
            prompt = f"Which of these begin with a, b, c or d? {' '.join(words)}"
            yield Task(prompt=prompt, info={"answer": found})

    def oracle(self):
        return ", ".join(self.task.info["answer"])

    @reward
    def correct(self, rollout):
        gold, said = set(self.task.info["answer"]), set(re.findall(r"\w+", rollout.answer))
        return max(0, len(gold & said) - len(said - gold)) / len(gold)

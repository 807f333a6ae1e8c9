"""Science questions of our own with four options: computed, with the usual slips as wrong options.

`question` maps a seed to one question; the same seed gives the same question on every machine.
"""

import math
from collections.abc import Callable
from random import Random

from athlos.envs.choosing import Question
from athlos.envs.seeds import draw

__all__ = ["TOPICS", "question"]

LETTERS = "ABCD"

# Question, right value, values that usual slips lead to, unit.
_Draft = tuple[str, float, list[float], str]
_Family = Callable[[Random], _Draft]


def question(seed: int) -> Question:
    """The question with this number."""
    return draw("gpqa", seed, _drawn, lambda made: made.question)


def _drawn(rng: Random) -> Question:
    topic = rng.choice(TOPICS)
    text, right, slips, unit = _FAMILIES[topic](rng)
    texts = [_shown(right, unit)]
    factors = [2.0, 0.5, 1.25, 0.8, 4.0, 10.0]
    rng.shuffle(factors)
    for value in (*slips, *(right * factor for factor in factors)):
        shown = _shown(value, unit)
        if shown not in texts and math.isfinite(value) and value * right > 0:
            texts.append(shown)
    texts = texts[: len(LETTERS)]
    answer = texts[0]
    rng.shuffle(texts)
    options = dict(zip(LETTERS, texts, strict=True))
    return Question(text, options, LETTERS[texts.index(answer)], topic)


def _shown(value: float, unit: str) -> str:
    digits = f"{value:.3g}"
    mantissa, e, exponent = digits.partition("e")
    number = f"{mantissa} x 10^{int(exponent)}" if e else digits
    return f"{number} {unit}".strip()


def _half_life(rng: Random) -> _Draft:
    half_life, periods = rng.randint(2, 60), rng.choice([1.5, 2.5, 3, 3.5, 4, 5])
    start, time = rng.randint(20, 900), half_life * periods
    text = (
        f"A sample holds {start} mg of a nuclide with a half-life of {half_life} days. How much of "
        f"the nuclide is left after {time:g} days?"
    )
    slips = [start * math.exp(-periods), start / (1 + periods), start * (1 - 0.5**periods)]
    return text, start * 0.5**periods, slips, "mg"


def _strong_acid(rng: Random) -> _Draft:
    volume, water = rng.randint(5, 50), rng.randint(100, 900)
    concentration = rng.choice([0.05, 0.1, 0.2, 0.5, 1.0])
    diluted = concentration * volume / (volume + water)
    text = (
        f"{volume} mL of {concentration:g} M HCl is mixed with {water} mL of pure water at 25 °C. "
        "What is the pH of the solution?"
    )
    slips = [-math.log(diluted), -math.log10(concentration), 14 + math.log10(diluted)]
    return text, -math.log10(diluted), slips, ""


def _weak_acid(rng: Random) -> _Draft:
    pka, concentration = rng.randint(38, 52) / 10, rng.choice([0.01, 0.02, 0.05, 0.1, 0.2])
    ka = 10**-pka
    hydrogen = (-ka + math.sqrt(ka * ka + 4 * ka * concentration)) / 2
    text = (
        f"What is the pH of a {concentration:g} M solution of a weak monoprotic acid with "
        f"pKa {pka:g} at 25 °C?"
    )
    slips = [pka, -math.log10(concentration), pka - math.log10(concentration)]
    return text, -math.log10(hydrogen), slips, ""


def _buffer(rng: Random) -> _Draft:
    pka, acid, base = rng.randint(35, 95) / 10, rng.randint(2, 30), rng.randint(31, 90)
    ratio = base / acid
    text = (
        f"A buffer holds {acid} mmol of a weak acid (pKa {pka:g}) and {base} mmol of its conjugate "
        "base in the same volume. What is its pH?"
    )
    slips = [pka - math.log10(ratio), pka + math.log(ratio), pka]
    return text, pka + math.log10(ratio), slips, ""


def _ideal_gas(rng: Random) -> _Draft:
    moles, celsius, litres = rng.randint(1, 9), rng.randint(15, 180), rng.randint(5, 60)
    pressure = moles * 8.314 * (celsius + 273.15) / litres
    text = (
        f"{moles} mol of an ideal gas fills a vessel of {litres} L at {celsius} °C. What is its "
        "pressure?"
    )
    slips = [moles * 8.314 * celsius / litres, pressure / 101.325, pressure / moles]
    return text, pressure, slips, "kPa"


def _de_broglie(rng: Random) -> _Draft:
    volts = rng.randint(20, 900)
    wave = 1.2264 / math.sqrt(volts)
    text = (
        f"An electron at rest is accelerated through {volts} V. What is its de Broglie wavelength "
        "(relativistic effects may be neglected)?"
    )
    return text, wave, [1239.8 / volts, wave / math.sqrt(2), wave * math.sqrt(2)], "nm"


def _photon(rng: Random) -> _Draft:
    (low, high), charge = sorted(rng.sample(range(1, 9), 2)), rng.randint(2, 12)
    wave = 91.127 / charge**2 / (1 / low**2 - 1 / high**2)
    text = (
        f"An ion with one electron and {charge} protons falls from the level n = {high} to the "
        f"level n = {low}. What is the wavelength of the photon?"
    )
    return text, wave, [wave * charge**2, wave * charge, wave / (1 / low + 1 / high)], "nm"


def _time_dilation(rng: Random) -> _Draft:
    beta, proper = rng.choice([0.6, 0.7, 0.8, 0.9, 0.95, 0.99]), rng.randint(15, 400) / 10
    gamma = 1 / math.sqrt(1 - beta * beta)
    text = (
        f"An unstable particle lives for {proper:g} µs at rest. It moves at {beta:g} c through the "
        "laboratory. How long does it live there, on the laboratory's clocks?"
    )
    return text, proper * gamma, [proper / gamma, proper * gamma**2, proper * (1 + beta)], "µs"


def _orbit(rng: Random) -> _Draft:
    ratio = rng.choice([2, 3, 4, 5, 6, 8, 9])
    days = rng.randint(3, 90)
    text = (
        f"A planet orbits its star in {days} days. A second planet, on a circular orbit like the "
        f"first, is {ratio} times as far from the star. What is its period?"
    )
    return text, days * ratio**1.5, [days * ratio, days * ratio**2, days * ratio ** (2 / 3)], "days"


def _lens(rng: Random) -> _Draft:
    focal, extra = rng.randint(5, 30), rng.randint(3, 60)
    away = focal + extra
    image = focal * away / extra
    text = (
        f"An object stands {away} cm in front of a thin converging lens with a focal length of "
        f"{focal} cm. How far behind the lens is its image?"
    )
    return text, image, [focal * away / (focal + away), float(extra), image - focal], "cm"


def _carriers(rng: Random) -> _Draft:
    root = rng.randint(20, 120)
    q = 1 / root
    text = (
        f"A recessive condition affects 1 in {root * root:,} people of a population in "
        "Hardy-Weinberg equilibrium. Which percentage of the population carries one copy of the "
        "allele?"
    )
    return text, 200 * q * (1 - q), [100 * q, 100 * q * (1 - q), 100 * (1 - q) ** 2], "%"


def _dihybrid(rng: Random) -> _Draft:
    genes, dominant, seeds = rng.randint(3, 6), rng.randint(1, 2), rng.randint(3, 90) * 100
    right = math.comb(genes, dominant) * 0.75**dominant * 0.25 ** (genes - dominant) * seeds
    text = (
        f"Two individuals, heterozygous at {genes} unlinked genes with complete dominance, are "
        f"crossed. Of {seeds:,} offspring, how many are expected to show the dominant trait at "
        f"exactly {dominant} of these genes?"
    )
    slips = [right / math.comb(genes, dominant), 0.75**dominant * seeds, 0.5**genes * seeds]
    return text, right, slips, ""


def _michaelis(rng: Random) -> _Draft:
    vmax, km, times = rng.randint(20, 400), rng.randint(2, 80), rng.choice([0.25, 0.5, 2, 3, 4, 9])
    substrate = km * times
    right = vmax * times / (1 + times)
    text = (
        f"An enzyme follows Michaelis-Menten kinetics with Vmax = {vmax} µM/s and Km = {km} µM. A "
        f"competitive inhibitor raises the apparent Km to {2 * km} µM. What is the rate at "
        f"{2 * substrate:g} µM of substrate, with the inhibitor?"
    )
    free = vmax * 2 * times / (1 + 2 * times)
    return text, right, [free, right / 2, vmax * times], "µM/s"


def _arrhenius(rng: Random) -> _Draft:
    energy, low, step = rng.randint(40, 110), rng.randint(280, 330), rng.choice([10, 15, 20, 30])
    exponent = energy * 1000 / 8.314 * (1 / low - 1 / (low + step))
    text = (
        f"A reaction has an activation energy of {energy} kJ/mol. By which factor does its rate "
        f"constant grow between {low} K and {low + step} K?"
    )
    return text, math.exp(exponent), [1 + exponent, 10**exponent, (low + step) / low], ""


def _nernst(rng: Random) -> _Draft:
    charge, inside, outside = rng.choice([1, 2]), rng.randint(2, 20), rng.randint(60, 180)
    right = 61.54 / charge * math.log10(outside / inside)
    ion = f"an ion of charge +{charge}"
    text = (
        f"A membrane at 37 °C is permeable to {ion} only: {inside} mM inside the cell and "
        f"{outside} mM outside. What is the membrane potential, inside relative to outside?"
    )
    return text, right, [right * charge**2 * 2, right * 2.303, right * 25.7 / 61.54], "mV"


_FAMILIES: dict[str, _Family] = {
    family.__name__.strip("_"): family
    for family in (
        _half_life,
        _strong_acid,
        _weak_acid,
        _buffer,
        _ideal_gas,
        _de_broglie,
        _photon,
        _time_dilation,
        _orbit,
        _lens,
        _carriers,
        _dihybrid,
        _michaelis,
        _arrhenius,
        _nernst,
    )
}

TOPICS = tuple(_FAMILIES)
"""The families of questions, all equally likely."""

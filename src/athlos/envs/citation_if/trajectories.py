"""Tasks of our own: documents with ids, a question about invented facts, and a way to cite.

`trajectory` maps a seed to one task; the same seed gives the same task on every machine.
"""

from dataclasses import dataclass
from random import Random

from athlos.envs.seeds import draw
from athlos.scoring.citations import GRAMMARS

__all__ = ["TRAINED", "Trajectory", "trajectory"]

HELD_OUT = ("curly_double", "angle_pipe")
TRAINED = tuple(name for name in GRAMMARS if name not in HELD_OUT)
"""Grammars of the split `train`; the others are in `test` as well."""

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_THINGS = ["bridge", "museum", "lighthouse", "observatory", "theatre", "harbour", "mill", "abbey"]
_PLACES = ["Orlen", "Veska", "Tarrow", "Milbek", "Sunda", "Halvik", "Corvo", "Dunmere", "Ilsing"]
_PEOPLE = ["Ada Holm", "Boris Falk", "Dalia Iver", "Emil Jade", "Farah Cole", "Goran Birch"]
_HOW = {
    "cite_xml": "Put the id between <cite> and </cite> behind the statement; several ids in one "
    "element have commas and no spaces between them.",
    "ascii_brackets": "Put the id in square brackets behind the statement.",
    "claim_wrap_xml": 'Put the statement itself between <cite index="ID"> and </cite>, with the id '
    "in place of ID.",
    "fullwidth_brackets": "Put the id in lenticular brackets, \u3010 and \u3011, behind the "
    "statement.",
    "ref_colon": "Behind the statement put square brackets with ref, a colon and the id.",
    "double_angle": "Put the id in double angle brackets, << and >>, behind the statement.",
    "web_brackets": "Behind the statement put square brackets with web, a colon and the id.",
    "paren_part": "Put the id in round brackets behind the statement.",
    "markdown_footnote": "Behind the statement put a Markdown footnote reference: the id in square "
    "brackets, behind a caret.",
    "curly_double": "Put the id in two pairs of curly brackets behind the statement.",
    "angle_pipe": "Behind the statement put angle brackets with ref, a vertical bar and the id.",
}
_WRITTEN = {
    "cite_xml": "{claim} <cite>{id}</cite>",
    "ascii_brackets": "{claim} [{id}]",
    "claim_wrap_xml": '<cite index="{id}">{claim}</cite>',
    "fullwidth_brackets": "{claim} \u3010{id}\u3011",
    "ref_colon": "{claim} [ref:{id}]",
    "double_angle": "{claim} <<{id}>>",
    "web_brackets": "{claim} [web:{id}]",
    "paren_part": "{claim} ({id})",
    "markdown_footnote": "{claim} [^{id}]",
    "curly_double": "{claim} {{{{{id}}}}}",
    "angle_pipe": "{claim} <ref|{id}>",
}


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One task."""

    documents: tuple[tuple[str, str], ...]
    """Ids and texts."""
    question: str
    """One document answers it."""
    how: str
    """How to cite."""
    verifier: dict[str, object]
    """What `athlos.scoring.citations.score_citations` checks."""
    sample_answer: str
    """An answer that passes."""


def trajectory(seed: int, documents: int, *, held_out: bool) -> Trajectory:
    """The task with this number, of so many documents (2 to 40)."""
    grammars = GRAMMARS if held_out else TRAINED
    return draw(
        f"citation {documents}",
        seed,
        lambda rng: _drawn(rng, documents, rng.choice(grammars)),
        lambda made: made.documents[0][1] + made.question,
    )


def _drawn(rng: Random, count: int, grammar: str) -> Trajectory:
    places = [(thing, place) for thing in _THINGS for place in _PLACES]
    ids: dict[str, None] = {}
    while len(ids) < count:
        ids["citation_" + "".join(rng.choices(_ALPHABET, k=4))] = None
    documents = []
    for name, (thing, place) in zip(ids, rng.sample(places, count), strict=True):
        year, who = rng.randint(1700, 1990), rng.choice(_PEOPLE)
        documents.append((name, f"The {thing} of {place} was built in {year} by {who}."))
    gold, text = rng.choice(documents)
    asked = text.removeprefix("The ").split(" was")[0]
    return Trajectory(
        tuple(documents),
        f"When was the {asked} built, and by whom?",
        _HOW[grammar],
        {
            "type": "citation_if",
            "mode": "cite",
            "grammar": grammar,
            "id_kind": "full_source",
            "id_regex": "citation_[a-z0-9]{4}",
            "valid_id_set": [name for name, _ in documents],
            "expected_ids": [gold],
            "expected_slack": 0,
            "min_valid_citations": 1,
        },
        _WRITTEN[grammar].format(claim=text, id=gold),
    )

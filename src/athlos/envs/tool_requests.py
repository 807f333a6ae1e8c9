"""Requests that ask for tool calls, made from a seed: texts, declarations and the calls expected.

Each tool has a maker that draws arguments and writes a request in which every argument stands as it
is to be given. Tools come in pairs that are easily mistaken for each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, NamedTuple

from athlos import ConfigError
from athlos.envs.seeds import draw

__all__ = ["LEVELS", "ToolRequest", "tool_request"]

LEVELS = (1, 2, 3, 4)
"""1: one call, two tools; 2: one call, six tools; 3: two calls; 4: three calls, more tools."""


def _words(text: str) -> list[str]:
    return text.split()


_CITIES = _words(
    "Oslo Lima Cairo Hanoi Quito Riga Accra Sofia Perth Turin Dakar Porto Kyoto Tunis Bergen "
    "Lagos Osaka Malmo Gdansk Cusco Leeds Basel Patras Izmir Delhi Manila Suva Lviv Tartu "
    "Ghent"
)
_CODES = _words("EUR USD JPY GBP CHF SEK INR BRL ZAR PLN NOK CAD")
_NAMES = _words(
    "Amara Bela Chen Dalia Emeka Farid Greta Hiro Ines Jonas Kofi Leila Marek Nadia Omar "
    "Priya Quentin Rosa Samir Tove Ursula Viktor Wanda Yusuf Zoe"
)
_GENRES = ["jazz", "folk", "techno", "opera", "blues", "reggae"]
_ITEMS = _words(
    "kettle lantern rucksack compass blanket hammock teapot ladder bucket candle hammer "
    "mirror pillow basket carpet drawer helmet jacket napkin pencil ribbon saddle shovel "
    "stapler thermos trolley tweezers umbrella violin wallet whistle anchor barrel bicycle "
    "cushion doorbell easel faucet gasket harness inkwell jigsaw keyring locket magnet "
    "notepad ornament padlock quilt racket scarf tripod utensil vase wagon yoyo zipper "
    "bolster canteen dustpan"
)
_LANGUAGES = _words("French Polish Swahili Korean Turkish Finnish Hindi Greek Czech Malay")
_SHAPES = {"triangle": "a triangle", "hexagon": "a hexagon", "octagon": "an octagon"}

_Maker = Callable[[Random], tuple[str, dict[str, Any]]]


class _Tool(NamedTuple):
    name: str
    description: str
    parameters: Mapping[str, tuple[str, str]]  # name: (type, description)
    make: _Maker


class ToolRequest(NamedTuple):
    """A request and what answers it.

    Attributes:
        text: What the user says.
        tools: Declarations, as the Responses API has them.
        calls: The calls expected: `name` and `arguments`.
    """

    text: str
    tools: list[dict[str, Any]]
    calls: list[dict[str, Any]]


def tool_request(label: str, seed: int, level: int) -> ToolRequest:
    """The request with this number; no two splits have one in common.

    Args:
        label: Of the environment, so that each has requests of its own.
        seed: Of the task.
        level: One of `LEVELS`.

    Raises:
        ConfigError: There is no such level.
    """
    if level not in LEVELS:
        raise ConfigError(f"there is no level {level}", hint="There are: 1, 2, 3, 4; 0 is a mix.")
    return draw(f"{label} {level}", seed, lambda rng: _drawn(rng, level), lambda made: made.text)


def _drawn(rng: Random, level: int) -> ToolRequest:
    count = {1: 1, 2: 1, 3: 2, 4: 3}[level]
    size = {1: 2, 2: 6, 3: 6, 4: 10}[level]
    chosen = rng.sample(_TOOLS, count)
    offered = list(chosen)
    for tool in chosen:  # the one that it may be mistaken for
        twin = _TOOLS[_TOOLS.index(tool) ^ 1]
        if twin not in offered and len(offered) < size:
            offered.append(twin)
    others = [tool for tool in _TOOLS if tool not in offered]
    offered += rng.sample(others, size - len(offered))
    rng.shuffle(offered)
    made = [(tool, *tool.make(rng)) for tool in chosen]
    text = made[0][1] if count == 1 else _joined([request for _, request, _ in made])
    calls = [{"name": tool.name, "arguments": arguments} for tool, _, arguments in made]
    return ToolRequest(text, [_declared(tool) for tool in offered], calls)


def _joined(requests: list[str]) -> str:
    listed = "\n".join(f"{number}. {request}" for number, request in enumerate(requests, 1))
    return f"Please do all of this now, in one go:\n{listed}"


def _declared(tool: _Tool) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for name, (kind, description) in tool.parameters.items():
        schema: dict[str, Any] = {"type": kind, "description": description}
        if kind == "array":
            schema["items"] = {"type": "string"}
        properties[name] = schema
    return {
        "name": tool.name,
        "description": tool.description,
        "parameters": {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        },
    }


def _date(rng: Random) -> str:
    return f"{rng.randint(2024, 2031)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"


def _time(rng: Random) -> str:
    return f"{rng.randint(6, 21):02}:{rng.choice(['00', '15', '30', '45'])}"


def _forecast(rng: Random) -> tuple[str, dict[str, Any]]:
    city, date = rng.choice(_CITIES), _date(rng)
    text = rng.choice(
        ["What will the weather be in {} on {}?", "I need the forecast for {} on {}."]
    )
    return text.format(city, date), {"city": city, "date": date}


def _climate(rng: Random) -> tuple[str, dict[str, Any]]:
    city, month = rng.choice(_CITIES), rng.randint(1, 12)
    return (
        f"What is the long-term climate of {city} in month {month} of the year?",
        {"city": city, "month": month},
    )


def _convert(rng: Random) -> tuple[str, dict[str, Any]]:
    source, target = rng.sample(_CODES, 2)
    amount = rng.randint(5, 900)
    return (
        f"How much are {amount} {source} in {target}?",
        {"amount": amount, "source": source, "target": target},
    )


def _rate(rng: Random) -> tuple[str, dict[str, Any]]:
    source, target = rng.sample(_CODES, 2)
    date = _date(rng)
    return (
        f"Which exchange rate from {source} to {target} was fixed on {date}?",
        {"source": source, "target": target, "date": date},
    )


def _message(rng: Random) -> tuple[str, dict[str, Any]]:
    name, word = rng.choice(_NAMES), rng.choice(_ITEMS)
    return (
        f"Send {name} a message whose whole text is the word {word}.",
        {"recipient": name, "text": word},
    )


def _reminder(rng: Random) -> tuple[str, dict[str, Any]]:
    word, date, time = rng.choice(_ITEMS), _date(rng), _time(rng)
    return (
        f"Remind me on {date} at {time}; the reminder's text is the word {word}.",
        {"text": word, "date": date, "time": time},
    )


def _play(rng: Random) -> tuple[str, dict[str, Any]]:
    title, volume = rng.choice(_ITEMS).title(), rng.randint(1, 10)
    return f"Play the song {title} at volume {volume}.", {"title": title, "volume": volume}


def _radio(rng: Random) -> tuple[str, dict[str, Any]]:
    genre, minutes = rng.choice(_GENRES), rng.randint(5, 400)
    return (
        f"Start a radio stream of {genre} that stops after {minutes} minutes.",
        {"genre": genre, "minutes": minutes},
    )


def _order(rng: Random) -> tuple[str, dict[str, Any]]:
    item, count, express = rng.choice(_ITEMS), rng.randint(1, 9), rng.random() < 0.5
    how = "with" if express else "without"
    return (
        f"Order {count} of the item {item}, {how} express delivery.",
        {"item": item, "quantity": count, "express": express},
    )


def _stock(rng: Random) -> tuple[str, dict[str, Any]]:
    items = rng.sample(_ITEMS, rng.randint(2, 3))
    return (
        f"Are these items in stock, in this order: {', '.join(items)}?",
        {"items": items},
    )


def _translate(rng: Random) -> tuple[str, dict[str, Any]]:
    word, language = rng.choice(_ITEMS), rng.choice(_LANGUAGES)
    return f"Translate the word {word} into {language}.", {"word": word, "language": language}


def _synonyms(rng: Random) -> tuple[str, dict[str, Any]]:
    word, count = rng.choice(_ITEMS), rng.randint(2, 8)
    return f"Find {count} synonyms of the word {word}.", {"word": word, "limit": count}


def _area(rng: Random) -> tuple[str, dict[str, Any]]:
    width, height = rng.randint(2, 900), rng.randint(2, 900)
    return (
        f"What is the area of a rectangle of width {width} and height {height}?",
        {"width": width, "height": height},
    )


def _perimeter(rng: Random) -> tuple[str, dict[str, Any]]:
    shape, side = rng.choice(list(_SHAPES)), rng.randint(2, 4000)
    return (
        f"What is the perimeter of {_SHAPES[shape]} whose sides all have length {side}?",
        {"shape": shape, "side": side},
    )


def _train(rng: Random) -> tuple[str, dict[str, Any]]:
    start, goal = rng.sample(_CITIES, 2)
    date, seats = _date(rng), rng.randint(1, 6)
    return (
        f"Book {seats} train seats from {start} to {goal} on {date}.",
        {"origin": start, "destination": goal, "date": date, "seats": seats},
    )


def _table(rng: Random) -> tuple[str, dict[str, Any]]:
    name, date, time = rng.choice(_ITEMS).title(), _date(rng), _time(rng)
    guests = rng.randint(2, 9)
    return (
        f"Reserve a table for {guests} at the restaurant {name} on {date} at {time}.",
        {"restaurant": name, "date": date, "time": time, "guests": guests},
    )


_DAY = ("string", "The day, as YYYY-MM-DD.")
_CLOCK = ("string", "The time of day, as HH:MM.")
_CITY = ("string", "Name of the city.")
_TOOLS = [  # neighbours are pairs
    _Tool("get_forecast", "Weather forecast of one day.", {"city": _CITY, "date": _DAY}, _forecast),
    _Tool("get_climate", "Average weather of a month over many years.",
          {"city": _CITY, "month": ("integer", "1 to 12.")}, _climate),
    _Tool("convert_currency", "Convert an amount of money at today's rate.",
          {"amount": ("integer", "How much."), "source": ("string", "Code of its currency."),
           "target": ("string", "Code of the currency wanted.")}, _convert),
    _Tool("get_exchange_rate", "The exchange rate of a day in the past.",
          {"source": ("string", "Code of the one currency."),
           "target": ("string", "Code of the other."), "date": _DAY}, _rate),
    _Tool("send_message", "Send a text message to somebody else.",
          {"recipient": ("string", "First name."), "text": ("string", "The whole text.")},
          _message),
    _Tool("set_reminder", "Have the user reminded of something.",
          {"text": ("string", "What the reminder says."), "date": _DAY, "time": _CLOCK}, _reminder),
    _Tool("play_song", "Play one song.",
          {"title": ("string", "Its title."), "volume": ("integer", "1 to 10.")}, _play),
    _Tool("play_radio", "Stream music of a kind for a while.",
          {"genre": ("string", "Kind of music, in lower case."),
           "minutes": ("integer", "How long.")}, _radio),
    _Tool("order_item", "Order goods.",
          {"item": ("string", "Name of the item, in the singular."),
           "quantity": ("integer", "How many."),
           "express": ("boolean", "Whether by express delivery.")}, _order),
    _Tool("check_stock", "Ask which goods are there.",
          {"items": ("array", "Names of the items, in the order of the request.")}, _stock),
    _Tool("translate_word", "Translate one English word.",
          {"word": ("string", "The word."), "language": ("string", "Its English name.")},
          _translate),
    _Tool("find_synonyms", "English words of like meaning.",
          {"word": ("string", "The word."), "limit": ("integer", "How many.")}, _synonyms),
    _Tool("rectangle_area", "Area of a rectangle.",
          {"width": ("integer", "Width."), "height": ("integer", "Height.")}, _area),
    _Tool("polygon_perimeter", "Perimeter of a regular polygon.",
          {"shape": ("string", "Its name, as triangle."), "side": ("integer", "Length of a side.")},
          _perimeter),
    _Tool("book_train", "Book seats on a train.",
          {"origin": _CITY, "destination": _CITY, "date": _DAY,
           "seats": ("integer", "How many.")}, _train),
    _Tool("reserve_table", "Reserve a table in a restaurant.",
          {"restaurant": ("string", "Its name."), "date": _DAY, "time": _CLOCK,
           "guests": ("integer", "How many.")}, _table),
]  # fmt: skip

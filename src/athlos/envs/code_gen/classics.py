"""Programming problems of the textbooks with rules of their own: tables, graphs, games."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TypeVar

from athlos.envs.code_gen.pipelines import Draft

__all__ = ["HARD", "MIDDLE"]

T = TypeVar("T")


def _ints(low: int, high: int, most: int) -> Callable[[Random], list[object]]:
    return lambda rng: [[rng.randint(low, high) for _ in range(rng.randint(1, most))]]


def _climb(rng: Random) -> Draft:
    sizes = sorted(rng.sample(range(1, 8), rng.randint(2, 4)))
    twice, modulus = rng.choice(sizes), rng.choice([997, 9973, 10007, 65537])
    return Draft(
        f"A stair has `n` steps, 1 <= n <= 300. One can go up by {_or(sizes)} steps at a time,"
        f" but never by {twice} twice in a row. The result is the number of ways to get exactly"
        f" to the top, modulo {modulus}. Ways differ if their sequences of sizes differ.",
        (("n", "int"),),
        f"""def solve(n):
    free, last = [0] * (n + 1), [0] * (n + 1)
    free[0] = 1
    for i in range(1, n + 1):
        for s in {sizes}:
            if i >= s:
                if s == {twice}:
                    last[i] += free[i - s]
                else:
                    free[i] += free[i - s] + last[i - s]
        free[i] %= {modulus}
        last[i] %= {modulus}
    return (free[n] + last[n]) % {modulus}""",
        lambda rng: [rng.randint(1, rng.choice([12, 60, 300]))],
    )


def _gap(rng: Random) -> Draft:
    gap = rng.randint(2, 6)
    bonus = rng.randint(1, 20)
    return Draft(
        "Given is a list `a` of 1 to 40 integers from -50 to 50. Choose any of them, or none,"
        f" such that the positions of any two chosen ones differ by at least {gap}. Each chosen"
        f" number counts what it is, and {bonus} more if its position, counted from 0, is"
        f" divisible by {gap}. The result is the largest possible total (0 if nothing is chosen).",
        (("a", "ints"),),
        f"""def solve(a):
    best = [0] * (len(a) + 1)
    for i, x in enumerate(a):
        if i % {gap} == 0:
            x += {bonus}
        best[i + 1] = max(best[i], x + best[max(i + 1 - {gap}, 0)])
    return best[-1]""",
        _ints(-50, 50, 40),
    )


def _rising(rng: Random) -> Draft:
    least, most = rng.randint(1, 4), rng.randint(6, 30)
    return Draft(
        "Given is a list `a` of 1 to 60 integers from 0 to 100. The result is the length of its"
        " longest subsequence (not necessarily of neighbours, in the given order) in which each"
        f" number is at least {least} and at most {most} larger than the one before it.",
        (("a", "ints"),),
        f"""def solve(a):
    best = []
    for i, x in enumerate(a):
        fits = [best[j] for j in range(i) if {least} <= x - a[j] <= {most}]
        best.append(1 + max(fits, default=0))
    return max(best)""",
        _ints(0, 100, 60),
    )


def _divisible(rng: Random) -> Draft:
    modulus = rng.randint(3, 19)
    keep = rng.randrange(modulus)
    least = rng.randint(1, 4)
    return Draft(
        "Given is a list `a` of 1 to 80 integers from -100 to 100. The result is how many of its"
        f" parts of at least {least} neighbouring numbers have a sum whose remainder modulo"
        f" {modulus} is {keep} (remainders are never negative).",
        (("a", "ints"),),
        f"""def solve(a):
    found = 0
    for i in range(len(a)):
        total = 0
        for j in range(i, len(a)):
            total += a[j]
            found += j - i + 1 >= {least} and total % {modulus} == {keep}
    return found""",
        _ints(-100, 100, 80),
    )


def _circle(rng: Random) -> Draft:
    step, more, left = rng.randint(2, 12), rng.randint(1, 9), rng.randint(1, 4)
    return Draft(
        f"The numbers 1 to `n` ({left} <= n <= 200) stand in a circle. Beginning with 1 as the"
        f" first, count to {step} and remove the number that is reached; go on counting with the"
        f" one behind it, and each time count {more} further than the time before, until only"
        f" {left} of the numbers are left. The result is the sum of what is left.",
        (("n", "int"),),
        f"""def solve(n):
    left, at, step = list(range(1, n + 1)), 0, {step}
    while len(left) > {left}:
        at = (at + step - 1) % len(left)
        left.pop(at)
        step += {more}
    return sum(left)""",
        lambda rng: [rng.randint(left, rng.choice([10, 50, 200]))],
    )


def _spans(rng: Random) -> Draft:
    gap, least = rng.randint(0, 5), rng.randint(2, 12)
    return Draft(
        "Given are 1 to 30 intervals `p`, each with its first and its last integer. Intervals"
        f" are merged as long as two of them overlap or have at most {gap} integers between them."
        " The result is the total number of integers in those merged intervals that contain at"
        f" least {least} integers; what was between merged intervals belongs to them.",
        (("p", "pairs"),),
        f"""def solve(p):
    merged = []
    for low, high in sorted(map(tuple, p)):
        if merged and low - merged[-1][1] - 1 <= {gap}:
            merged[-1][1] = max(merged[-1][1], high)
        else:
            merged.append([low, high])
    return sum(h - l + 1 for l, h in merged if h - l + 1 >= {least})""",
        lambda rng: [
            [[low, low + rng.randint(0, 12)] for low in _many(rng, 30, lambda: rng.randint(0, 200))]
        ],
    )


def _cache(rng: Random) -> Draft:
    size, free = rng.randint(2, 7), rng.randint(2, 7)
    largest, hit = rng.randint(8, 20), rng.randint(2, 9)
    return Draft(
        f"A cache holds {size} different numbers. The list `a` (1 to 80 integers from 0 to"
        f" {largest}) says which numbers are asked for, in this order. One that is in the cache is"
        " a hit. One that is not there is put into it; if it is full, the number that was not"
        " asked for the longest time is removed first. But numbers that are divisible by"
        f" {free} are never put into the cache. A hit gives {hit} points, a removal costs 1 point."
        " The result is the number of points.",
        (("a", "ints"),),
        f"""def solve(a):
    cache, score = [], 0
    for x in a:
        if x in cache:
            score += {hit}
            cache.remove(x)
            cache.append(x)
        elif x % {free}:
            if len(cache) == {size}:
                cache.pop(0)
                score -= 1
            cache.append(x)
    return score""",
        _ints(0, largest, 80),
    )


def _edits(rng: Random) -> Draft:
    add, drop, change = (rng.randint(1, 9) for _ in range(3))
    return Draft(
        f"Given are two words `s` and `t` of 1 to 20 letters. To insert a letter costs {add}, to"
        f" delete one costs {drop}, to replace one by another costs {change}. The result is the"
        " lowest cost to make `t` of `s`.",
        (("s", "str"), ("t", "str")),
        f"""def solve(s, t):
    row = [j * {add} for j in range(len(t) + 1)]
    for i, c in enumerate(s, 1):
        new = [i * {drop}]
        for j, d in enumerate(t, 1):
            same = row[j - 1] + (0 if c == d else {change})
            new.append(min(same, row[j] + {drop}, new[-1] + {add}))
        row = new
    return row[-1]""",
        lambda rng: ["".join(rng.choices("abcd", k=rng.randint(1, 20))) for _ in range(2)],
    )


def _islands(rng: Random) -> Draft:
    least, diagonal, share = rng.randint(2, 6), rng.random() < 0.5, rng.randint(35, 60)
    each, corner = rng.randint(1, 9), rng.randint(0, 9)
    moves = [(0, 1), (1, 0), (0, -1), (-1, 0)]
    if diagonal:
        moves += [(1, 1), (1, -1), (-1, 1), (-1, -1)]
    touch = "a side or a corner" if diagonal else "a side"
    return Draft(
        f"Given is a map `g` of 1 to 12 rows, equally long, with 1 to 12 characters each: `#` is"
        f" land, `.` is water. Squares of land that share {touch} belong to one island. An island"
        f" with fewer than {least} squares is worth nothing. Any other is worth {each} for each of"
        f" its squares, and {corner} more for each of them that lies in the top or the bottom row."
        f" The result is what all islands are worth together.",
        (("g", "rows"),),
        f"""def solve(g):
    land = {{(r, c) for r, row in enumerate(g) for c, x in enumerate(row) if x == '#'}}
    total = 0
    while land:
        edge, island = [land.pop()], []
        while edge:
            r, c = edge.pop()
            island.append(r)
            for dr, dc in {moves}:
                if (r + dr, c + dc) in land:
                    land.remove((r + dr, c + dc))
                    edge.append((r + dr, c + dc))
        if len(island) >= {least}:
            total += sum({each} + {corner} * (r in (0, len(g) - 1)) for r in island)
    return total""",
        lambda rng: [_map(rng, share)],
    )


def _walls(rng: Random) -> Draft:
    walls, price, free = rng.randint(1, 3), rng.randint(10, 20), rng.randint(1, 9)
    share = rng.randint(35, 55)
    return Draft(
        "Given is a map `g` of 1 to 12 rows, equally long, with 1 to 12 characters each: `#` is"
        " a wall, `.` is free. One walks from the square at the top left to that at the bottom"
        " right, each step to a square that shares a side. A step onto a free square costs"
        f" {free}, one onto a wall costs {price}, and at most {walls} steps may be onto walls."
        " The square where one begins costs nothing, whatever it is. The result is the lowest"
        " cost, or -1 if there is no way.",
        (("g", "rows"),),
        f"""import heapq

def solve(g):
    heap, seen = [(0, 0, 0, 0)], set()
    while heap:
        cost, r, c, used = heapq.heappop(heap)
        if (r, c) == (len(g) - 1, len(g[0]) - 1):
            return cost
        if (r, c, used) in seen:
            continue
        seen.add((r, c, used))
        for y, x in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)):
            if 0 <= y < len(g) and 0 <= x < len(g[0]):
                wall = g[y][x] == '#'
                if used + wall <= {walls}:
                    heapq.heappush(heap, (cost + ({price} if wall else {free}), y, x, used + wall))
    return -1""",
        lambda rng: [_map(rng, share)],
    )


def _automaton(rng: Random) -> Draft:
    rule = rng.randint(1, 254)
    bits = [(rule >> n) & 1 for n in range(8)]
    table = ", ".join(f"{n:03b} -> {bit}" for n, bit in enumerate(bits))
    return Draft(
        "Given are a row `s` of 3 to 40 cells, each 0 or 1, and a number `n` from 0 to 100. In"
        " each of `n` rounds all cells change at once: the new cell depends on its left"
        f" neighbour, itself and its right neighbour, by this table: {table}. The row is a ring:"
        " the first and the last cell are neighbours. The result is the row after `n` rounds.",
        (("s", "str"), ("n", "int")),
        f"""def solve(s, n):
    row = [int(c) for c in s]
    for _ in range(n):
        row = [
            {bits}[4 * row[i - 1] + 2 * row[i] + row[(i + 1) % len(row)]] for i in range(len(row))
        ]
    return ''.join(map(str, row))""",
        lambda rng: ["".join(rng.choices("01", k=rng.randint(3, 40))), rng.randint(0, 100)],
    )


def _knapsack(rng: Random) -> Draft:
    room, most, bonus = rng.randint(20, 80), rng.randint(2, 6), rng.randint(3, 25)
    return Draft(
        f"Given are 1 to 20 things `p`, each with its weight and its value. At most {most} of"
        f" them may be packed, with a total weight of at most {room}. If exactly {most} are"
        f" packed, the value of the whole is {bonus} higher. The result is the highest possible"
        " value (0 if nothing is packed).",
        (("p", "pairs"),),
        f"""def solve(p):
    best = {{(0, 0): 0}}
    for weight, value in p:
        for (count, used), had in list(best.items()):
            if count < {most} and used + weight <= {room}:
                key = (count + 1, used + weight)
                best[key] = max(best.get(key, 0), had + value)
    return max(v + ({bonus} if count == {most} else 0) for (count, _), v in best.items())""",
        lambda rng: [
            _many(rng, 20, lambda: [rng.randint(1, 30), rng.randint(1, 50)]),
        ],
    )


def _roads(rng: Random) -> Draft:
    toll, free, factor = rng.randint(1, 20), rng.randint(2, 5), rng.randint(2, 5)
    return Draft(
        "There are the places 0 to `n` - 1 (2 <= n <= 12) and roads `p` between them, which can"
        " be used in both directions; each pair names the two places of a road. The length of"
        f" the road between x and y is {factor} * |x - y| + {toll}, but {toll} less if x + y is"
        f" divisible by {free}. The result is the length of the shortest way from 0 to n - 1, or -1"
        " if there is none.",
        (("n", "int"), ("p", "pairs")),
        f"""def solve(n, p):
    far = [None] * n
    far[0] = 0
    for _ in range(n):
        for x, y in p:
            length = {factor} * abs(x - y) + (0 if (x + y) % {free} == 0 else {toll})
            for here, there in ((x, y), (y, x)):
                if far[here] is not None:
                    if far[there] is None or far[there] > far[here] + length:
                        far[there] = far[here] + length
    return -1 if far[-1] is None else far[-1]""",
        _drawn_roads,
    )


def _pieces(rng: Random) -> Draft:
    least, price, double = rng.randint(1, 3), rng.randint(2, 9), rng.randint(10, 30)
    return Draft(
        f"A word `s` of 1 to 30 letters is cut into pieces of at least {least} letters. A piece"
        f" that reads the same in both directions costs {price}, any other piece costs {double}."
        " The result is the lowest cost of all pieces together, or -1 if the word cannot be cut"
        " so.",
        (("s", "str"),),
        f"""def solve(s):
    best = [0] + [None] * len(s)
    for end in range(1, len(s) + 1):
        for start in range(0, end - {least} + 1):
            if best[start] is not None:
                part = s[start:end]
                cost = best[start] + ({price} if part == part[::-1] else {double})
                if best[end] is None or cost < best[end]:
                    best[end] = cost
    return -1 if best[-1] is None else best[-1]""",
        lambda rng: ["".join(rng.choices("abc", k=rng.randint(1, 30)))],
    )


def _or(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:-1])) + f" or {numbers[-1]}"


def _many(rng: Random, most: int, make: Callable[[], T]) -> list[T]:
    return [make() for _ in range(rng.randint(1, most))]


def _map(rng: Random, share: int) -> list[str]:
    width = rng.randint(1, 12)
    cells = ["#" if n < share else "." for n in range(100)]
    return ["".join(rng.choices(cells, k=width)) for _ in range(rng.randint(1, 12))]


def _drawn_roads(rng: Random) -> list[object]:
    n = rng.randint(2, 12)
    return [n, [[rng.randrange(n), rng.randrange(n)] for _ in range(rng.randint(1, 2 * n))]]


MIDDLE: tuple[Callable[[Random], Draft], ...] = (
    _climb, _gap, _rising, _divisible, _circle, _cache,
)  # fmt: skip
"""With one loop or two, or a table of one dimension."""

HARD: tuple[Callable[[Random], Draft], ...] = (
    _spans, _edits, _islands, _walls, _automaton, _knapsack, _roads, _pieces,
)  # fmt: skip
"""Maps, graphs, and tables of two dimensions."""

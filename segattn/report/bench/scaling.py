"""How time and memory grow with the number of positions N = H W: fitted exponents, declared ones, and crossings."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from segattn.records import BenchRecord
from segattn.records.bench import Case, Result
from segattn.report.bench.groups import form_of, unusual

SLOWER = 0.4
"""How far apart fitted exponents are at least where one curve counts as growing more slowly than another."""


@dataclass(frozen=True)
class Curve:
    """Time or memory of one case over the number of positions."""

    label: str
    head: str
    setting: str
    """What the curves of one figure have in common."""
    quantity: str
    """`time` in ms, or `memory` in bytes."""
    positions: tuple[int, ...]
    """H W of each map, smallest first."""
    values: tuple[float, ...]
    flops: tuple[float, ...]
    """Of the equation, at each size; zeros where it was not counted."""
    growth: tuple[float, float] | None = None
    """Exponents of time and memory that the head declares."""

    @property
    def exponent(self) -> float | None:
        """Fitted over the largest sizes."""
        return exponent(*_largest(self.positions, self.values))

    @property
    def counted(self) -> float | None:
        """The exponent of the ledger's FLOPs over the same sizes."""
        return exponent(*_largest(self.positions, self.flops)) if all(self.flops) else None

    @property
    def leading(self) -> float | None:
        """The declared exponent, which large maps tend to; None where the head declares none."""
        return None if self.growth is None else self.growth[0 if self.quantity == "time" else 1]

    @property
    def fitted_sizes(self) -> tuple[int, ...]:
        """Positions of the sizes that `exponent` is fitted over."""
        return tuple(_largest(self.positions, self.values)[0])


@dataclass(frozen=True)
class Crossing:
    """Where one curve overtakes another, between two measured sizes."""

    first: str
    second: str
    positions: float
    value: float
    quantity: str
    first_is_higher_above: bool

    @property
    def side(self) -> int:
        """Side of a square map with so many positions."""
        return round(math.sqrt(self.positions))

    @property
    def words(self) -> str:
        """In a sentence without its full stop."""
        verb, less = ("takes", "less time") if self.quantity == "time" else ("needs", "less memory")
        low, high = (self.first, self.second) if self.first_is_higher_above else (self.second, self.first)
        return f"{low} {verb} {less} than {high} on maps below about {self.side}x{self.side}; above, {high} does"


def curves(record: BenchRecord) -> list[Curve]:
    """Every case that was measured at three sizes or more, first time, then memory."""
    groups: dict[tuple[object, ...], list[Result]] = {}
    for result in record.results:
        groups.setdefault(_but_size(result.case), []).append(result)
    several = len({form_of(result.case) for result in record.results}) > 1
    gathered = []
    for quantity, members in itertools.product(("time", "memory"), groups.values()):
        points = sorted({(_positions(result.case), value, result.work.flops if result.work else 0)
                         for result in members if (value := _value(result, quantity))})  # fmt: skip
        if len({n for n, *_ in points}) < 3:
            continue
        case = members[0].case
        label = f"{case.label} {form_of(case)}" if several else case.label
        positions, values, flops = zip(*points, strict=True)
        facts = record.head_facts.get(case.head)
        growth = None if facts is None else facts.growth
        gathered.append(Curve(label, case.head, _setting(case, several), quantity, positions, values, flops, growth))
    return gathered


def exponent(positions: Sequence[float], values: Sequence[float]) -> float | None:
    """Slope of the least-squares line of log value over log N; None below three points.

    >>> round(exponent([10, 100, 1000], [3, 300, 30000]), 6)
    2.0
    """
    if len(positions) < 3 or min(values) <= 0:
        return None
    xs, ys = [math.log(n) for n in positions], [math.log(value) for value in values]
    mean_x, mean_y = math.fsum(xs) / len(xs), math.fsum(ys) / len(ys)
    products = math.fsum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return products / math.fsum((x - mean_x) ** 2 for x in xs)


Pairs = Sequence[tuple[str, str]]
"""Heads whose curves are compared."""


def compared(own: Sequence[Curve]) -> Pairs:
    """The head whose time grows fastest, and each head that grows more slowly: where does the slower growth pay?

    Growth is what both heads declare, or else what was fitted, with a margin of `SLOWER`.
    """
    fitted = [curve for curve in own if curve.exponent is not None]
    times = [curve for curve in fitted if curve.quantity == "time"] or fitted
    if not times:
        return []
    fastest = max(times, key=lambda curve: curve.exponent or 0.0)
    rivals = {curve.quantity: curve for curve in fitted if curve.head == fastest.head}
    pairs = {
        (curve.head, fastest.head): None
        for curve in fitted
        if curve.quantity in rivals and _grows_slower(curve, rivals[curve.quantity])
    }
    return list(pairs)


def _grows_slower(curve: Curve, other: Curve) -> bool:
    if curve.leading is not None and other.leading is not None:
        return curve.leading < other.leading
    return (curve.exponent or 0.0) <= (other.exponent or 0.0) - SLOWER


def crossings(own: Sequence[Curve], pairs: Pairs | None = None) -> list[Crossing]:
    """Where the curves of each pair cross: on the straight line between two sizes, both axes logarithmic.

    `pairs` are those of `compared` unless given.
    """
    return [crossing for first, second in matched(own, pairs) for crossing in _between(first, second)]


def matched(own: Sequence[Curve], pairs: Pairs | None = None) -> list[tuple[Curve, Curve]]:
    """The curves of each pair of heads, of one setting, quantity and form; pairs as in `crossings`."""
    return [
        (a, b)
        for first, second in (compared(own) if pairs is None else pairs)
        for a, b in itertools.product(own, own)
        if (a.head, b.head) == (first, second)
        and (a.setting, a.quantity) == (b.setting, b.quantity)
        and a.label.removeprefix(a.head) == b.label.removeprefix(b.head)
    ]


def statements(own: Sequence[Curve], pairs: Pairs | None = None) -> list[str]:
    """A sentence for each crossing, and for each pair that does not cross which one is lower throughout; pairs as in
    `crossings`."""
    sentences = []
    for first, second in matched(own, pairs):
        crossed = _between(first, second)
        sentences += [crossing.words for crossing in crossed]
        if not crossed:
            a, b = _common(first, second)
            low, high = (first.label, second.label) if a[-1][1] < b[-1][1] else (second.label, first.label)
            verb = "takes less time" if first.quantity == "time" else "needs less memory"
            sides = [round(math.sqrt(a[index][0])) for index in (0, -1)]
            span = f"from {sides[0]}x{sides[0]} to {sides[1]}x{sides[1]}"
            sentences.append(f"{low} {verb} than {high} at every size {span}")
    return sentences


def _between(first: Curve, second: Curve) -> list[Crossing]:
    crossed = []
    a, b = _common(first, second)
    for (n0, a0), (n1, a1), (_, b0), (_, b1) in zip(a, a[1:], b, b[1:], strict=False):
        before, after = math.log(a0 / b0), math.log(a1 / b1)
        if before * after < 0:
            share = before / (before - after)
            positions = n0 * (n1 / n0) ** share
            value = a0 * (a1 / a0) ** share
            crossed.append(Crossing(first.label, second.label, positions, value, first.quantity, after > 0))
    return crossed


def _common(first: Curve, second: Curve) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    """The points of both at the sizes that both have."""
    sizes = sorted(set(first.positions) & set(second.positions))
    a, b = (
        dict(zip(first.positions, first.values, strict=True)),
        dict(zip(second.positions, second.values, strict=True)),
    )
    return [(n, a[n]) for n in sizes], [(n, b[n]) for n in sizes]


def _largest(positions: Sequence[int], values: Sequence[float]) -> tuple[Sequence[int], Sequence[float]]:
    """The larger half of the sizes, at least four: small maps measure overhead, not work."""
    count = max(4, math.ceil(len(positions) / 2))
    return positions[-count:], values[-count:]


def _positions(case: Case) -> int:
    return case.map_size[0] * case.map_size[1]


def _value(result: Result, quantity: str) -> float | None:
    if quantity == "time":
        return None if result.latency is None else result.latency.median_ms
    return None if result.memory is None else float(result.memory.extra_bytes)


def _but_size(case: Case) -> tuple[object, ...]:
    return tuple(repr(value) for name, value in vars(case).items() if name not in ("input_size", "map_size"))


def _setting(case: Case, several: bool) -> str:
    form = [f"form: {case.implementation}"] * (not several)
    return ", ".join(
        [case.part, case.phase, f"batch {case.batch}", case.dtype, *unusual(case), *form, f"{case.mode} heads"]
    )

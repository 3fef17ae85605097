"""A log-log scatter plot with a name at every point, as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import product
from math import ceil, cos, floor, hypot, log10, pi, sin

WIDTH, HEIGHT = 1400, 1000
LEFT, RIGHT, TOP, BOTTOM = 70, 1380, 60, 940
RADIUS = 4.0
LETTER, LINE = 6.7, 12.0
"""Width of a letter and height of a line of the names, pixels."""
UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Point:
    """One point: where it is, what it is called, the colour of its group."""

    name: str
    x: float
    y: float
    colour: str


def svg(points: Sequence[Point], title: str, x_label: str, y_label: str, groups: Sequence[tuple[str, str]]) -> str:
    """The picture. `groups` are pairs of a colour and what it stands for. Equal inputs give equal bytes."""
    across = Axis.over([point.x for point in points], LEFT, RIGHT)
    up = Axis.over([point.y for point in points], BOTTOM, TOP)
    places = [(across.at(point.x), up.at(point.y)) for point in points]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="11">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="28" font-size="17">{escape(title)}</text>',
    ]
    for value in across.ticks():
        x = across.at(value)
        lines.append(f'<path d="M{x:.1f} {TOP}V{BOTTOM}" stroke="#e4e4e4"/>')
        lines.append(f'<text x="{x:.1f}" y="{BOTTOM + 18}" text-anchor="middle" fill="#555">{short(value)}</text>')
    for value in up.ticks():
        y = up.at(value)
        lines.append(f'<path d="M{LEFT} {y:.1f}H{RIGHT}" stroke="#e4e4e4"/>')
        lines.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#555">{short(value)}</text>')
    lines.append(f'<text x="{(LEFT + RIGHT) / 2}" y="{HEIGHT - 18}" text-anchor="middle">{escape(x_label)}</text>')
    middle = f'x="20" y="{(TOP + BOTTOM) / 2}" transform="rotate(-90 20 {(TOP + BOTTOM) / 2})"'
    lines.append(f'<text {middle} text-anchor="middle">{escape(y_label)}</text>')
    lines += legend(groups)
    names = list(placed([point.name for point in points], places))
    for (x, y), (box, point) in zip(places, zip(names, points, strict=True), strict=True):
        near = (min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3]))
        if hypot(near[0] - x, near[1] - y) > 2 * RADIUS:
            lines.append(f'<path d="M{x:.1f} {y:.1f}L{near[0]:.1f} {near[1]:.1f}" stroke="#aaa" stroke-width="0.7"/>')
        centre = f'x="{(box[0] + box[2]) / 2:.1f}" y="{box[3] - 3:.1f}" text-anchor="middle"'
        lines.append(f"<text {centre}>{escape(point.name)}</text>")
    for (x, y), point in zip(places, points, strict=True):
        lines.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS}" fill="{point.colour}" stroke="white">'
            f"<title>{escape(point.name)}</title></circle>"
        )
    return "\n".join([*lines, "</svg>", ""])


@dataclass(frozen=True)
class Axis:
    """Values from 10^low to 10^high, drawn from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> Axis:
        """An axis with some room around these values."""
        low, high = log10(min(values)), log10(max(values))
        room = 0.04 * (high - low)
        return cls(low - room, high + room, start, end)

    def at(self, value: float) -> float:
        """Where a value is drawn."""
        return self.start + (log10(value) - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """The powers of ten on it."""
        return [10.0**power for power in range(ceil(self.low), floor(self.high) + 1)]


def short(value: float) -> str:
    """`10 M`, `1 G`."""
    for unit, letter in UNITS:
        if value >= unit:
            return f"{value / unit:g} {letter}"
    return f"{value:g}"


def legend(groups: Sequence[tuple[str, str]]) -> Iterator[str]:
    """A row of colours at the top right."""
    for number, (colour, text) in enumerate(groups):
        x = RIGHT - 100 * (len(groups) - number)
        yield f'<circle cx="{x}" cy="40" r="{RADIUS}" fill="{colour}"/><text x="{x + 9}" y="44">{escape(text)}</text>'


def placed(names: Sequence[str], places: Sequence[tuple[float, float]]) -> Iterator[Box]:
    """A box for every name: as near to its point as it can be, over no other name or point if it can be."""
    taken: list[Box] = [(x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS) for x, y in places]
    for name, (x, y) in zip(names, places, strict=True):
        box = min(candidates(x, y, LETTER * len(name)), key=lambda found: crossed(found, taken))
        taken.append(box)
        yield box


def candidates(x: float, y: float, width: float) -> Iterator[Box]:
    """Boxes around a point, the nearest first: right, left, above, below, then all around."""
    for distance, turn in product((7, 12, 18, 26, 36, 48, 62, 80, 100), (0, 8, 4, 12, 1, 7, 9, 15, 2, 6, 10, 14, 3, 5)):
        angle = turn * pi / 8
        middle_x = x + distance * cos(angle) + width / 2 * cos(angle)
        middle_y = y + distance * sin(angle) + LINE / 2 * sin(angle)
        box = (middle_x - width / 2, middle_y - LINE / 2, middle_x + width / 2, middle_y + LINE / 2)
        if box[0] >= LEFT and box[2] <= RIGHT and box[1] >= TOP and box[3] <= BOTTOM:
            yield box


def crossed(box: Box, taken: Sequence[Box]) -> float:
    """The area that a box shares with others."""
    return sum(
        max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
        * max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
        for other in taken
    )

"""Charts as plain geometry, drawn by the template as SVG: no script, and nothing that a content policy forbids.

A chart is drawn on a field of 1000 by 200 units that is stretched to its place, so the words stand beside it, in HTML.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

WIDTH, HEIGHT = 1000, 200
# Of a column's width, what its bars take.
FILLED = Decimal("0.72")
STEPS = (Decimal(1), Decimal(2), Decimal("2.5"), Decimal(5), Decimal(10))


@dataclass(frozen=True, slots=True)
class Series:
    """One colour of the chart; `shade` is the class that the style sheet knows."""

    name: str
    shade: str


@dataclass(frozen=True, slots=True)
class Bar:
    x: str
    y: str
    width: str
    height: str
    shade: str


@dataclass(frozen=True, slots=True)
class Column:
    """What stands over one tick: its bars, what is said of it, and where its rows are."""

    x: str
    width: str
    bars: tuple[Bar, ...]
    tip: str
    href: str


@dataclass(frozen=True, slots=True)
class Chart:
    columns: tuple[Column, ...]
    series: tuple[Series, ...]
    scale: tuple[Decimal, ...]
    ticks: tuple[str, ...]
    line: str = ""
    line_shade: str = ""
    base: str = str(HEIGHT)

    @property
    def empty(self) -> bool:
        return not any(column.bars for column in self.columns) and not self.line

    @property
    def grid(self) -> list[str]:
        """Where the lines of the scale run."""
        top, bottom = self.scale[0], self.scale[-1]
        return [_text((top - value) * HEIGHT / (top - bottom)) for value in self.scale]


@dataclass(frozen=True, slots=True)
class Point:
    """The figures of one tick: a value per series (None: nothing to draw), and perhaps one of the line."""

    values: Sequence[Decimal]
    tip: str
    href: str
    line: Decimal | None = None


def stacked(points: Sequence[Point], series: Sequence[Series], ticks: Sequence[str]) -> Chart:
    """Bars on top of each other: a whole and its parts."""
    top = ceiling(max((sum(point.values, Decimal(0)) for point in points), default=Decimal(0)))
    columns = []
    for place, point in enumerate(points):
        x, width = _column(place, len(points))
        bars, foot = [], Decimal(0)
        for value, one in zip(point.values, series, strict=True):
            if value > 0:
                foot += value
                y, height = (top - foot) * HEIGHT / top, value * HEIGHT / top
                bars.append(Bar(_text(x), _text(y), _text(width), _text(height), one.shade))
        columns.append(_bare(place, len(points), tuple(bars), point))
    return Chart(tuple(columns), tuple(series), (top, top / 2, Decimal(0)), tuple(ticks))


def side_by_side(
    points: Sequence[Point], series: Sequence[Series], ticks: Sequence[str], *, line_shade: str = ""
) -> Chart:
    """Bars beside each other, and a line through the points' `line`; the scale goes below zero where they do."""
    lines = [point.line for point in points if point.line is not None]
    scale = scale_of(
        min([*lines, Decimal(0)]),
        max([value for point in points for value in point.values] + lines, default=Decimal(0)),
    )
    top, reach = scale[0], scale[0] - scale[-1]
    base = top * HEIGHT / reach
    columns = []
    for place, point in enumerate(points):
        x, width = _column(place, len(points))
        each = width / len(series)
        bars = tuple(
            Bar(
                _text(x + n * each),
                _text(base - value * HEIGHT / reach),
                _text(each),
                _text(value * HEIGHT / reach),
                one.shade,
            )
            for n, (value, one) in enumerate(zip(point.values, series, strict=True))
            if value > 0
        )
        columns.append(_bare(place, len(points), bars, point))
    step = Decimal(WIDTH) / max(1, len(points))
    line = " ".join(
        f"{_text((place + Decimal('0.5')) * step)},{_text((top - point.line) * HEIGHT / reach)}"
        for place, point in enumerate(points)
        if point.line is not None
    )
    drawn = line if any(lines) else ""
    return Chart(tuple(columns), tuple(series), scale, tuple(ticks), drawn, line_shade, _text(base))


def scale_of(least: Decimal, most: Decimal) -> tuple[Decimal, ...]:
    """Round numbers at even distances, from above the most down to zero, or to below the least."""
    step = ceiling(max(most, -least) / 3)
    above = max(1, math.ceil(most / step))
    return tuple(n * step for n in range(above, -math.ceil(-least / step) - 1, -1))


def ceiling(value: Decimal) -> Decimal:
    """The next round number: 1, 2, 2.5 or 5 times a power of ten."""
    if value <= 0:
        return Decimal(1)
    power = Decimal(10) ** value.adjusted()
    return next(step * power for step in STEPS if step * power >= value)


def _column(place: int, of: int) -> tuple[Decimal, Decimal]:
    step = Decimal(WIDTH) / of
    return place * step + step * (1 - FILLED) / 2, step * FILLED


def _bare(place: int, of: int, bars: tuple[Bar, ...], point: Point) -> Column:
    step = Decimal(WIDTH) / of
    return Column(_text(place * step), _text(step), bars, point.tip, point.href)


def _text(value: Decimal) -> str:
    """For an SVG attribute, whatever the reader's language."""
    return f"{value:.2f}"

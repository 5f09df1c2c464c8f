"""Two pictures of a resolution in one SVG: how sure it is of its pairs, and what each column says of the most doubtful.

The histogram counts all candidate pairs by probability, on a logarithmic scale, since most pairs of any table are no
match; the threshold is a line and the review band is shaded. The waterfall adds up the columns' weights of one pair,
the natural logs of their Bayes factors: to the right they speak for one entity, to the left against it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT, _MARGIN, _ROW = 460, 220, 40, 22
_FOR, _AGAINST, _BAR = "#2a9d8f", "#d1495b", "#4a6fa5"
_LONGEST_NAME = 24


def resolution_picture(
    histogram: Sequence[int], threshold: float, band: tuple[float, float], pair: tuple[str, Mapping[str, float]] | None
) -> str:
    """An SVG document.

    Args:
        histogram: candidate pairs by probability, in equal bins from 0 to 1.
        pair: a title for the most doubtful pair, and its columns' weights; None where no pair was judged.
    """
    below = _waterfall(*pair) if pair else ""
    rows = max(1, len(pair[1])) if pair else 0
    height = _HEIGHT + (_MARGIN + _ROW * (rows + 2) if pair else 0)
    style = "font-family:sans-serif;font-size:12px;fill:#222"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH + 2 * _MARGIN}" height="{height + _MARGIN}" '
        f'style="{style};background:#fff">\n{_histogram(histogram, threshold, band)}{below}</svg>\n'
    )


def _histogram(counts: Sequence[int], threshold: float, band: tuple[float, float]) -> str:
    tallest = max(1.0, *(math.log10(1 + count) for count in counts)) if counts else 1.0
    floor = _HEIGHT - _MARGIN / 2
    parts = [_text(_MARGIN, 16, f"{sum(counts):,} candidate pairs by probability (logarithmic)")]
    low, high = (_MARGIN + _WIDTH * edge for edge in band)
    parts.append(_rectangle(low, 26, high - low, floor - 26, "#f2e8c9", "for review"))
    for place, count in enumerate(counts):
        height = (floor - 30) * math.log10(1 + count) / tallest
        width = _WIDTH / len(counts)
        span = f"{place / len(counts):.2f} to {(place + 1) / len(counts):.2f}: {count:,}"
        parts.append(_rectangle(_MARGIN + place * width + 1, floor - height, width - 2, height, _BAR, span))
    line = _MARGIN + _WIDTH * threshold
    parts.append(f'<line x1="{line:.1f}" y1="26" x2="{line:.1f}" y2="{floor}" stroke="#222" stroke-dasharray="4 3"/>\n')
    parts += [_text(_MARGIN + _WIDTH * edge - 8, floor + 16, f"{edge:g}") for edge in (0, 0.5, 1)]
    return "".join(parts)


def _waterfall(title: str, weights: Mapping[str, float]) -> str:
    ordered = sorted(weights.items(), key=lambda one: (-abs(one[1]), one[0]))
    ends = [0.0]
    for _, weight in ordered:
        ends.append(ends[-1] + weight)
    least, most = min(ends), max(ends)
    scale = (_WIDTH - 200) / max(most - least, 1e-9)

    def x(value: float) -> float:
        return _MARGIN + 150 + (value - least) * scale

    top = _HEIGHT + _MARGIN
    parts = [_text(_MARGIN, top, title)]
    for row, (name, weight) in enumerate(ordered):
        y = top + _ROW * (row + 1) - 10
        left, right = sorted((x(ends[row]), x(ends[row + 1])))
        parts.append(_text(_MARGIN, y + 12, _cut(name)))
        color = _FOR if weight >= 0 else _AGAINST
        parts.append(_rectangle(left, y, max(right - left, 1), _ROW - 6, color, f"{name}: {weight:+.2f}"))
        parts.append(_text(right + 4, y + 12, f"{weight:+.2f}"))
    parts.append(_text(_MARGIN, top + _ROW * (len(ordered) + 1), f"together {ends[-1]:+.2f}"))
    return "".join(parts)


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}">{_shown(text)}</text>\n'


def _rectangle(x: float, y: float, width: float, height: float, color: str, title: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {place} fill="{color}"><title>{_shown(title)}</title></rect>\n'


def _shown(text: str) -> str:
    """Escaped, and without the characters that XML has no way to write."""
    return escape("".join(character if character.isprintable() else " " for character in text))

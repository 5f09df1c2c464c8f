"""Reliability and abstention as pictures, one PNG for each set of probabilities.

matplotlib comes with the extra `evaluation` and is imported here alone, when a picture is asked for.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from model.errors import OptionError
from model.evaluation.reliability import BINS, Reliability

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOTS_PER_INCH = 110
_SIZE = (8.4, 3.6)
_BLUE, _GREY = "#1a5fb4", "#8a8a8a"


def draw_all(reliabilities: Iterable[Reliability]) -> dict[str, bytes]:
    """A PNG for each set that holds any prediction, by file name, in order.

    Raises:
        OptionError: matplotlib is not installed.
    """
    drawn = [one for one in reliabilities if len(one)]
    return {file_name(number, one): draw(one) for number, one in enumerate(drawn, start=1)}


def file_name(number: int, one: Reliability) -> str:
    """A name that sorts by number and says what is drawn."""
    words = re.sub(r"[^a-z0-9]+", "-", one.name.lower()).strip("-")
    return f"{number:02d}-{words}.png"


def draw(one: Reliability) -> bytes:
    """Reliability diagram and abstention curve side by side; the same predictions give the same bytes.

    Raises:
        OptionError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        message = "pictures need matplotlib: install the extra `evaluation`, as in pip install '.[evaluation]'"
        raise OptionError(message, field="report") from error
    figure = Figure(figsize=_SIZE, dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _reliability(left, one)
    _abstention(right, one)
    figure.suptitle(one.name, fontsize=10)
    written = io.BytesIO()
    figure.savefig(written, format="png", metadata={"Software": None})
    return written.getvalue()


def _reliability(axes: Axes, one: Reliability) -> None:
    """What came true against what was promised; bars show where the predictions lie."""
    bins = one.bins()
    shares = [found.count / len(one) for found in bins]
    axes.bar([(found.low + found.high) / 2 for found in bins], shares, 1 / BINS, color=_GREY, alpha=0.3)
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle="--")
    axes.plot(
        [found.probability for found in bins], [found.accuracy for found in bins], "o-", color=_BLUE, markersize=4
    )
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="probability", ylabel="share that was true (bars: of predictions)")
    axes.set_title(f"ECE {one.error()}, n = {len(one):,}", fontsize=9)


def _abstention(axes: Axes, one: Reliability) -> None:
    """How accurate the surest predictions are, from few to all of them."""
    points = one.curve()
    axes.plot(
        [point.coverage for point in points], [point.accuracy for point in points], "o-", color=_BLUE, markersize=4
    )
    lowest = min(point.accuracy for point in points)
    bottom = max(0.0, lowest - 0.1) if lowest > 0.5 else 0.0
    axes.set(xlim=(0, 1.02), ylim=(bottom, 1.0 + 0.02 * (1.0 - bottom)), xlabel="coverage", ylabel="accuracy")
    axes.set_title("accuracy of the surest predictions", fontsize=9)

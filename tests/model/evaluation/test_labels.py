"""Labels come from the clean table for the chosen tuples alone, and what they teach stands beside what they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from model.calibration import Calibration
from model.checkpoint import Checkpoint
from model.evaluation.cleaning import CleaningSet, cleaning_figures, evaluate_cleaning, flagged_by, judge
from model.evaluation.figures import Counts, Resampling
from model.evaluation.labels import measure_labels
from model.tuples import CleaningResult, Relation, Suggestion

DIRTY = [[f"Drink {chr(97 + n % 26)}{n}", f"{n % 9 + 3}.0 oz"] for n in range(30)]
ONE = CleaningSet(
    "drinks",
    Relation.of(("drink", "amount"), DIRTY),
    Relation.of(("drink", "amount"), [[drink, amount[:-5]] for drink, amount in DIRTY]),
)


@pytest.fixture
def silent(checkpoint: Checkpoint, make_calibration: Callable[..., Calibration]) -> Checkpoint:
    """Flags nothing by itself."""
    return replace(checkpoint, calibration=make_calibration({}, -9, {"written": 8}, -4))


def test_what_is_learned_stands_beside_the_labels_alone(silent: Checkpoint) -> None:
    def count(result: CleaningResult) -> Counts:
        return judge(ONE, ONE.wrong, flagged_by(result), Resampling(seed=3, resamples=10))

    unlabelled = CleaningResult((), suggestions=tuple(Suggestion(row, "") for row in (9, 4, 0, 20, 13, 7)))
    table = measure_labels("drinks", ONE.dirty, ONE.clean, silent, unlabelled, count, cleaning_figures)
    figures = {row.system: {name: figure.value for name, figure in row.figures.items()} for row in table.rows}
    assert list(figures) == ["no labels", "labels, nothing learned", "labels"]
    repaired = {label: (its["repair F1"], its["repair F1, other rows"]) for label, its in figures.items()}
    assert repaired["no labels"] == (0.0, 0.0)
    assert repaired["labels, nothing learned"] == pytest.approx((2 * 6 / (6 + 30), 0.0))
    assert repaired["labels"] == (1.0, 1.0)
    assert table.title == "drinks with 6 labelled rows"
    assert table.notes[0] == (
        "6 rows, 12 cells, 6 of them wrong; chosen by the system at once and without chance: 0, 4, 7, 9, 13, 20. "
        "Seed of the intervals: 3."
    )


def test_the_labels_of_a_set_are_measured_after_it(small_bench: Path, checkpoint: Checkpoint) -> None:
    whole, _, labelled = evaluate_cleaning(small_bench, checkpoint, ("hospital",))
    assert labelled.title == "hospital with 20 labelled rows"
    model, unlabelled = whole.rows[0].figures, labelled.rows[0].figures
    assert all(model[name] == figure for name, figure in unlabelled.items() if "other rows" not in name)

from dataclasses import replace

import numpy as np
import pytest

from model.checkpoint import Checkpoint
from model.errors import CheckpointError
from model.evaluation import judging
from model.evaluation.figures import Resampling
from model.evaluation.judging import Choice, best_choice, choice_reliability, clean_and_keep, detection_reliability
from model.inference.batching import ModelTask, run_task
from model.inference.cleaning import FLAG_PROBABILITY, clean
from model.tuples import Cell, CleaningOptions, CleaningResult, Evidence, Outcome, Relation, Repair, RepairCandidate


def test_every_cell_has_a_probability_and_the_flagged_ones_are_those_above_one_half(
    checkpoint: Checkpoint, people: Relation
) -> None:
    judged = run_task(checkpoint, clean_and_keep(checkpoint, people))
    assert judged.result.repairs == run_task(checkpoint, clean(checkpoint, people)).repairs
    assert judged.probabilities.shape == (40, 6)
    flagged = {
        Cell(int(row), int(attribute)) for row, attribute in np.argwhere(judged.probabilities >= FLAG_PROBABILITY)
    }
    assert flagged == {repair.cell for repair in judged.result.repairs}
    for repair in judged.result.repairs:
        assert judged.probabilities[repair.cell.tuple_id, repair.cell.attribute] == repair.error_probability


def test_probabilities_follow_their_cells_when_rows_and_columns_move(checkpoint: Checkpoint, people: Relation) -> None:
    options = CleaningOptions(detect_only=True)
    turned = Relation.of(people.attributes[::-1], [values[::-1] for values in people.tuples[::-1]])
    straight = run_task(checkpoint, clean_and_keep(checkpoint, people, options)).probabilities
    back = run_task(checkpoint, clean_and_keep(checkpoint, turned, options)).probabilities
    assert np.array_equal(straight, back[::-1, ::-1])
    assert len(np.unique(straight)) > 100


def test_an_evaluation_out_of_step_with_cleaning_is_an_error(
    checkpoint: Checkpoint, people: Relation, monkeypatch: pytest.MonkeyPatch
) -> None:

    def adjusting(*arguments: object) -> ModelTask[CleaningResult]:
        result = yield from clean(*arguments)  # type: ignore[arg-type]
        moved = [replace(repair, error_probability=repair.error_probability / 2) for repair in result.repairs]
        return replace(result, repairs=tuple(moved))

    monkeypatch.setattr(judging, "clean", adjusting)
    with pytest.raises(CheckpointError, match="out of step"):
        run_task(checkpoint, clean_and_keep(checkpoint, people))


def test_a_table_without_rows_has_no_probabilities(checkpoint: Checkpoint) -> None:
    judged = run_task(checkpoint, clean_and_keep(checkpoint, Relation.of(("a", "b"), [])))
    assert judged.probabilities.shape == (0, 2) and judged.result.repairs == ()


def test_the_best_candidate_counts_whether_it_was_written_or_not() -> None:
    candidates = (RepairCandidate("Oslo", 0.4), RepairCandidate("Bonn", 0.3))
    repair = Repair(Cell(0, 0), "Osol", 0.9, Outcome.ABSTAINED, Evidence("model"), candidates=candidates)
    assert best_choice(repair, "Oslo", 7) == Choice(0.4, True, 7)
    assert best_choice(repair, "Bonn", 7) == Choice(0.4, False, 7)
    assert best_choice(replace(repair, candidates=()), "Oslo", 7) is None
    one = choice_reliability("repair", [Choice(0.4, True, 7), None, Choice(0.8, False, 2)], Resampling(3))
    assert (one.probabilities.tolist(), one.true.tolist(), one.units.tolist()) == ([0.4, 0.8], [True, False], [7, 2])
    assert not one.two_sided and one.resampling.seed == 3


def test_cells_of_a_tuple_are_one_unit() -> None:
    probabilities = [np.array([[0.1, 0.9], [0.2, 0.3]]), np.array([[0.5]])]
    wrong = [np.array([[False, True], [True, False]]), np.array([[False]])]
    one = detection_reliability("d", probabilities, wrong, [np.array([4, 5]), np.array([6])], Resampling())
    assert one.probabilities.tolist() == [0.1, 0.9, 0.2, 0.3, 0.5]
    assert one.true.tolist() == [False, True, True, False, False]
    assert one.units.tolist() == [4, 4, 5, 5, 6] and one.two_sided

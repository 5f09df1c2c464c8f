"""Candidates come from decoder and table, are all scored, and do not depend on the order asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from model.checkpoint import Checkpoint
from model.inference.batching import AnswerCall, ModelAnswer, ModelCall, run_task
from model.inference.candidates import (
    FILL_FEATURES,
    FILL_JUDGE_FEATURES,
    MODEL_FEATURES,
    REPAIR_JUDGE_FEATURES,
    AskedCell,
    CandidateFinder,
    CandidateSet,
)
from model.inference.canonical import Canonical
from model.inference.reading import Reader
from model.inference.statistics import RelationStatistics
from model.judge import fit_judge
from model.tokenizer import SpecialToken
from model.tuples import Cell, Relation

FEATURES = FILL_FEATURES


@pytest.fixture(scope="module")
def relation(people: Relation) -> Relation:
    return Canonical.of(people).relation  # city, id, name, phone, state, zip


@pytest.fixture(scope="module")
def finder(bare_checkpoint: Checkpoint, relation: Relation) -> CandidateFinder:
    return CandidateFinder(bare_checkpoint, Reader(bare_checkpoint, relation), RelationStatistics(relation))


def find(finder: CandidateFinder, asked: Sequence[AskedCell]) -> list[CandidateSet]:
    return run_task(finder.checkpoint, finder.find(asked))


def calls_of(finder: CandidateFinder, asked: Sequence[AskedCell]) -> list[AnswerCall]:
    """All calls that finding makes; nothing is answered."""
    task = finder.find(asked)
    made: list[AnswerCall] = []
    answers: list[ModelAnswer] = []
    calls: list[ModelCall] = next(task)
    while True:
        made += [call for call in calls if isinstance(call, AnswerCall)]
        answers = [[[] for _ in call.queries] for call in calls if isinstance(call, AnswerCall)]
        try:
            calls = task.send(answers)
        except StopIteration:
            return made


def feature(found: CandidateSet, name: str) -> dict[str, float]:
    return dict(zip(found.values, found.features[:, FEATURES.index(name)].tolist(), strict=True))


def test_candidates_come_from_decoder_column_votes_and_context(
    finder: CandidateFinder, relation: Relation, bare_checkpoint: Checkpoint
) -> None:
    wrong = next(t for t, row in enumerate(relation.tuples) if row[0] and "x" in row[0] and row[5])
    cell = Cell(wrong, 0)
    (found,) = find(finder, [AskedCell(cell, extra=("Atlantis",))])
    values = set(found.values)
    assert relation.value(cell) in values
    assert {vote.value for vote in found.votes} <= values
    assert found.similar <= values
    assert set(found.context) <= values
    assert "Atlantis" in values
    assert any(found.written)
    assert len(found.values) == len(values)
    assert found.votes  # the zip code tells
    for value, rows in found.context.items():
        assert all(relation.tuples[row][0] == value for row in rows)
    assert found.features.shape == (len(values), len(FEATURES))
    assert found.features.dtype == np.float32
    assert np.isfinite(found.features).all()


def test_values_are_sorted_by_likelihood_and_features_say_so(finder: CandidateFinder, relation: Relation) -> None:
    (found,) = find(finder, [AskedCell(Cell(5, 0), error_logit=1.5)])
    means = list(feature(found, "mean_log_probability").values())
    assert means == sorted(means, reverse=True)
    ranks = feature(found, "rank").values()
    assert list(ranks) == pytest.approx([np.log1p(rank) for rank in range(len(means))])
    observed = relation.value(Cell(5, 0))
    assert observed
    assert feature(found, "gap_to_observed")[observed] == 0.0
    gaps = list(feature(found, "gap_to_best_other").values())
    assert gaps[0] == pytest.approx(means[0] - means[1], abs=1e-5)
    assert gaps[1] == pytest.approx(means[1] - means[0], abs=1e-5)
    assert set(feature(found, "error_logit").values()) == {1.5}
    assert [bool(one) for one in feature(found, "written").values()] == list(found.written)
    for value, tokens in feature(found, "tokens").items():
        ids = finder.checkpoint.serializer.answer_ids(value)
        assert ids is not None
        assert tokens == pytest.approx(np.log1p(len(ids)))
    for value, missing in feature(found, "is_missing").items():
        assert missing == float(value == "")
    for value, in_column in feature(found, "candidate_log_count").items():
        count = relation.column(0).count(value) if value else 0
        assert in_column == pytest.approx(np.log1p(count), abs=1e-6)


def test_each_task_has_its_judge_and_every_value_its_lead(finder: CandidateFinder, relation: Relation) -> None:
    tuple_id = next(t for t, row in enumerate(relation.tuples) if row[0] and row[5])
    counts = fit_judge(FILL_JUDGE_FEATURES, *_frequent_is_right(FILL_JUDGE_FEATURES), trees=5)
    never = fit_judge(REPAIR_JUDGE_FEATURES, *_frequent_is_right(REPAIR_JUDGE_FEATURES, sign=-1), trees=5)
    judged = CandidateFinder(
        replace(finder.checkpoint, judges={"fill": counts, "repair": never}), finder.reader, finder.statistics
    )
    (fill,) = find(judged, [AskedCell(Cell(tuple_id, 0), "fill")])
    (repair,) = find(judged, [AskedCell(Cell(tuple_id, 0), error_logit=1.0)])
    observed = relation.value(Cell(tuple_id, 0))
    for found, sign in ((fill, 1), (repair, -1)):
        logits, frequency = feature(found, "judge_logit"), feature(found, "candidate_log_count")
        most = max(frequency, key=lambda value: frequency[value])
        least = min(frequency, key=lambda value: frequency[value])
        assert sign * (logits[most] - logits[least]) > 0.5
        rivals = {value: logit for value, logit in logits.items() if value != observed}
        for value, gap in feature(found, "judge_gap_to_best_other").items():
            best_other = max((logit for other, logit in rivals.items() if other != value), default=-10.0)
            assert gap == pytest.approx(min(10.0, logits[value] - best_other), abs=1e-4)
    (without,) = find(finder, [AskedCell(Cell(tuple_id, 0), "fill")])
    assert set(feature(without, "judge_logit").values()) == {0.0}


def _frequent_is_right(names: tuple[str, ...], sign: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Features of which only the count tells what is right."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(4000, len(names))).astype(np.float32)
    features[:, names.index("candidate_log_count")] = rng.uniform(0, 4, 4000)
    return features, (sign * (features[:, names.index("candidate_log_count")] - 1.2) > 0).astype(np.int64)


def test_half_typed_values_have_a_calibrator_of_their_own() -> None:
    assert AskedCell(Cell(0, 0), "fill", prefix="San").calibrator == "typed"
    assert AskedCell(Cell(0, 0), "fill").calibrator == "fill"
    assert AskedCell(Cell(0, 0)).calibrator == "repair"


def test_answers_stand_in_the_order_asked(finder: CandidateFinder) -> None:
    cells = [Cell(7, 0), Cell(2, 3), Cell(7, 5), Cell(2, 0), Cell(0, 4)]
    found = find(finder, [AskedCell(cell) for cell in cells])
    assert [one.asked.cell for one in found] == cells


def test_the_order_asked_changes_nothing(finder: CandidateFinder) -> None:
    asked = [AskedCell(Cell(tuple_id, attribute), "fill") for tuple_id in (3, 1) for attribute in range(6)]
    forward, backward = find(finder, asked), find(finder, asked[::-1])[::-1]
    for one, other in zip(forward, backward, strict=True):
        assert one.asked == other.asked
        assert one.values == other.values
        assert one.features.tolist() == other.features.tolist()


def test_cells_of_a_tuple_share_a_call_of_at_most_two(finder: CandidateFinder) -> None:
    asked = [AskedCell(Cell(tuple_id, attribute)) for tuple_id in (3, 4) for attribute in range(6)]
    calls = calls_of(finder, asked)
    assert [len(call.queries) for call in calls] == [2] * 6
    assert [[query.column_id for query in call.queries] for call in calls[:3]] == [[1, 2], [3, 4], [5, 6]]


def test_a_cell_to_fill_is_masked_and_one_to_repair_is_read(finder: CandidateFinder, relation: Relation) -> None:
    (call,) = calls_of(finder, [AskedCell(Cell(6, 0), "fill"), AskedCell(Cell(6, 2), "repair")])
    one = call.encoder_input
    assert (one.ids == SpecialToken.MASK).sum() == 1
    assert one.ids[one.value_index[0] + 1] == SpecialToken.MASK
    assert [query.task for query in call.queries] == ["fill", "repair"]
    assert relation.value(Cell(6, 2)) in call.queries[1].candidates
    assert len(set(call.queries[1].candidates)) == len(call.queries[1].candidates)


def test_what_the_table_teaches_of_a_missing_cell_is_among_the_candidates(
    finder: CandidateFinder, relation: Relation
) -> None:
    first, second = [t for t, row in enumerate(relation.tuples) if row[0] and row[5]][:2]
    fill, repair = find(finder, [AskedCell(Cell(first, 0), "fill"), AskedCell(Cell(second, 0))])
    assert fill.evidence.predicted
    assert set(fill.evidence.values) <= set(fill.values)
    probabilities = feature(fill, "prediction_probability")
    for one in fill.evidence.predicted:
        assert probabilities[one.value] == pytest.approx(one.probability)
    assert feature(fill, "prediction_is_top")[fill.evidence.predicted[0].value] == 1.0
    assert len(set(feature(fill, "prediction_reliability").values())) == 1
    assert not any(feature(repair, "prediction_reliability").values())


def test_a_prefix_holds_for_every_candidate(finder: CandidateFinder, relation: Relation) -> None:
    tuple_id = next(t for t, row in enumerate(relation.tuples) if row[5] == "94107")
    (found,) = find(finder, [AskedCell(Cell(tuple_id, 0), "fill", prefix="San", extra=("Santa Fe", "Boston"))])
    assert {"San Francisco", "Santa Fe"} < set(found.values)  # by vote of the zip code, by the caller, and written
    assert all(value.startswith("San") for value in found.values)
    (nothing,) = find(finder, [AskedCell(Cell(6, 0), "fill", prefix="7" * 50)])
    assert nothing.values == ()
    assert nothing.features.shape == (0, len(FEATURES))


def test_values_of_the_column_that_go_on_from_the_prefix_are_candidates_wherever_they_stand(
    finder: CandidateFinder, relation: Relation
) -> None:
    assert relation.attributes[1] == "id"
    for tuple_id in range(20, 24):
        (found,) = find(finder, [AskedCell(Cell(tuple_id, 1), "fill", prefix="P000")])
        assert {f"P000{digit}" for digit in range(8)} <= set(found.values)


def test_without_statistics_the_model_and_its_context_are_left(bare_checkpoint: Checkpoint, relation: Relation) -> None:
    finder = CandidateFinder(bare_checkpoint, Reader(bare_checkpoint, relation), None)
    (found,) = find(finder, [AskedCell(Cell(5, 0))])
    assert (found.votes, found.similar) == ((), frozenset())
    assert not found.features[:, len(MODEL_FEATURES) + 1 :].any()
    assert set(found.context) <= set(found.values)


def test_nothing_asked_is_nothing_found(finder: CandidateFinder) -> None:
    assert find(finder, []) == []


def test_progress_and_cost_are_counted(bare_checkpoint: Checkpoint, relation: Relation) -> None:
    finder = CandidateFinder(bare_checkpoint, Reader(bare_checkpoint, relation), RelationStatistics(relation))
    seen: list[tuple[str, int, int]] = []
    asked = [AskedCell(Cell(tuple_id, 0)) for tuple_id in range(3)]
    found = run_task(bare_checkpoint, finder.find(asked, lambda *progress: seen.append(progress)))
    assert seen == [("repair", 3, 3)]
    assert finder.encoder_tokens == sum(len(finder.reader.encoder_input(tuple_id, 0)) for tuple_id in range(3))
    tokens = [np.expm1(value) for one in found for value in feature(one, "tokens").values()]
    assert finder.decoder_tokens == round(sum(tokens))

"""A relation goes in, repairs come out: the same for every order and company, and as the options say."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from model.calibration import Calibration
from model.checkpoint import Checkpoint
from model.errors import CheckpointError, OptionError
from model.inference.batching import TaskPool, run_task
from model.inference.cleaning import clean
from model.inference.completion import complete
from model.tuples import (
    Cell,
    CellExample,
    CleaningOptions,
    CleaningResult,
    CompletionOptions,
    CompletionTarget,
    DomainRule,
    FunctionalDependency,
    Outcome,
    PatternRule,
    Relation,
    Repair,
    Value,
)

ID, NAME, ZIP, CITY, STATE, PHONE = range(6)
LABELLED = (0, 4, 7, 11, 13, 20)
MakeCalibration = Callable[..., Calibration]


@pytest.fixture(scope="module")
def large(people: Relation) -> Relation:
    """500 tuples of six attributes."""
    rng = random.Random(3)
    rows = [[f"P{number:04d}", *rng.choice(people.tuples)[1:]] for number in range(500)]
    return Relation.of(people.attributes, rows, "large")


@pytest.fixture(scope="module")
def large_result(checkpoint: Checkpoint, large: Relation) -> CleaningResult:
    return run(checkpoint, large)


@pytest.fixture(scope="module")
def voting(checkpoint: Checkpoint, make_calibration: MakeCalibration) -> Checkpoint:
    """Flags what agreeing tuples contradict, and repairs it by their vote."""
    calibration = make_calibration({"vote_contradicts": 8}, -4, {"candidate_vote_is_top": 8}, -4)
    return replace(checkpoint, calibration=calibration)


@pytest.fixture(scope="module")
def silent(checkpoint: Checkpoint, make_calibration: MakeCalibration) -> Checkpoint:
    """Flags nothing by itself, and believes what the decoder writes."""
    calibration = make_calibration({}, -9, {"written": 8}, -4)
    return replace(checkpoint, calibration=calibration)


@pytest.fixture(scope="module")
def drinks() -> Relation:
    """Thirty tuples whose amounts are all written with a unit."""
    return Relation.of(("drink", "amount"), [[f"Drink {chr(97 + n % 26)}{n}", f"{n % 9 + 3}.0 oz"] for n in range(30)])


@pytest.fixture(scope="module")
def result(checkpoint: Checkpoint, people: Relation) -> CleaningResult:
    return run(checkpoint, people)


@pytest.fixture(scope="module")
def every(checkpoint: Checkpoint, people: Relation) -> CleaningResult:
    """Every flagged cell that has a candidate is repaired."""
    return run(checkpoint, people, min_confidence=0.0)


def run(checkpoint: Checkpoint, relation: Relation, **options: Any) -> CleaningResult:
    return run_task(checkpoint, clean(checkpoint, relation, CleaningOptions(**options)))


def permuted(relation: Relation, rows: Sequence[int], columns: Sequence[int]) -> Relation:
    return Relation.of(
        [relation.attributes[column] for column in columns],
        [[relation.tuples[row][column] for column in columns] for row in rows],
        relation.name,
    )


def moved_back(repairs: Sequence[Repair], rows: Sequence[int], columns: Sequence[int]) -> list[Repair]:
    """Repairs of a permuted relation as ones of the relation before; evidence likewise."""
    back = [
        replace(
            repair,
            cell=Cell(rows[repair.cell.tuple_id], columns[repair.cell.attribute]),
            evidence=replace(repair.evidence, tuple_ids=tuple(rows[one] for one in repair.evidence.tuple_ids)),
        )
        for repair in repairs
    ]
    return sorted(back, key=lambda repair: (repair.cell.tuple_id, repair.cell.attribute))


def cells(result: CleaningResult, *outcomes: Outcome) -> list[Cell]:
    return [repair.cell for repair in result.repairs if not outcomes or repair.outcome in outcomes]


# ------------------------------------------------------------------------------------------ invariance


def test_order_of_rows_and_columns_and_company_change_no_bit_of_500_rows(
    checkpoint: Checkpoint, large: Relation, large_result: CleaningResult, people: Relation
) -> None:
    rng = random.Random(5)
    rows, columns = rng.sample(range(500), 500), rng.sample(range(6), 6)
    pool = TaskPool(checkpoint)
    pool.add(clean(checkpoint, people))
    both = pool.add(clean(checkpoint, permuted(large, rows, columns)))
    hidden = tuple(CompletionTarget(Cell(tuple_id, CITY)) for tuple_id in range(30))
    pool.add(complete(checkpoint, people, CompletionOptions(targets=hidden)))
    finished = {one.task_id: one for _ in iter(lambda: len(pool), 0) for one in pool.step()}
    result = finished[both].result
    assert isinstance(result, CleaningResult)
    assert len(large_result.repairs) > 100
    assert {repair.outcome for repair in large_result.repairs} == {Outcome.REPAIRED, Outcome.ABSTAINED}
    assert moved_back(result.repairs, rows, columns) == list(large_result.repairs)
    assert replace(result.usage, seconds=0.0) == replace(large_result.usage, seconds=0.0)
    assert all(one.error is None for one in finished.values())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["rows", "columns"])
def test_a_permutation_of_rows_or_of_columns_changes_no_bit(
    checkpoint: Checkpoint, people: Relation, kind: str, precision: str
) -> None:
    if precision == "bfloat16":
        checkpoint = replace(checkpoint, denoiser=copy.deepcopy(checkpoint.denoiser).to(torch.bfloat16))
    result = run(checkpoint, people)
    rng = random.Random(kind)
    rows = rng.sample(range(40), 40) if kind == "rows" else list(range(40))
    columns = rng.sample(range(6), 6) if kind == "columns" else list(range(6))
    other = run(checkpoint, permuted(people, rows, columns))
    assert result.repairs
    assert moved_back(other.repairs, rows, columns) == list(result.repairs)


def test_the_same_relation_gives_the_same_result_again(
    checkpoint: Checkpoint, people: Relation, result: CleaningResult
) -> None:
    assert run(checkpoint, people).repairs == result.repairs


def test_equal_rows_get_equal_answers(checkpoint: Checkpoint, people: Relation) -> None:
    rows = [values[1:] for values in people.tuples[:12] for _ in range(3)]
    relation = Relation.of(people.attributes[1:], rows)
    found: dict[tuple[int, int], list[Any]] = {}
    for repair in run(checkpoint, relation).repairs:
        answer = (repair.error_probability, repair.outcome, repair.repair, repair.confidence, repair.candidates)
        found.setdefault((repair.cell.tuple_id // 3, repair.cell.attribute), []).append(answer)
    assert found
    assert all(len(answers) == 3 and answers[0] == answers[1] == answers[2] for answers in found.values())


def test_missing_and_empty_values_are_the_same(checkpoint: Checkpoint, people: Relation) -> None:
    empty = Relation.of(people.attributes, [[value or "" for value in values] for values in people.tuples])
    nulled = run(checkpoint, people).repairs
    assert [replace(one, value=one.value or None) for one in run(checkpoint, empty).repairs] == list(nulled)


# --------------------------------------------------------------------------------------------- results


def test_repairs_are_in_order_and_hold_what_stands_in_the_cell(result: CleaningResult, people: Relation) -> None:
    assert result.repairs
    order = [(cell.tuple_id, cell.attribute) for cell in cells(result)]
    assert order == sorted(set(order))
    for repair in result.repairs:
        assert repair.value == people.value(repair.cell)
        assert 0.5 <= repair.error_probability <= 1.0
        confidences = [candidate.confidence for candidate in repair.candidates]
        assert confidences == sorted(confidences, reverse=True)
        assert sum(confidences) <= 1.0 + 1e-5
        assert (repair.value or "") not in [candidate.value for candidate in repair.candidates]
        if repair.outcome is Outcome.REPAIRED:
            assert (repair.repair, repair.confidence) == (
                repair.candidates[0].value,
                repair.candidates[0].confidence,
            )
        else:
            assert repair.outcome is Outcome.ABSTAINED
            assert (repair.repair, repair.confidence) == (None, None)


def test_evidence_names_other_rows_that_hold_the_value(voting: Checkpoint, large: Relation) -> None:
    named = 0
    for repair in run(voting, large).repairs:
        assert len(repair.evidence.tuple_ids) <= 5
        for tuple_id in repair.evidence.tuple_ids:
            assert tuple_id != repair.cell.tuple_id
            assert large.tuples[tuple_id][repair.cell.attribute] == repair.repair
            named += 1
    assert named > 100


def test_a_vote_repairs_what_a_dependency_contradicts(voting: Checkpoint) -> None:
    rows: list[list[Value]] = [["35233", "Birmingham"] if n % 2 == 0 else ["94107", "San Francisco"] for n in range(12)]
    rows[4][1] = "Birmxngham"
    relation = Relation.of(["zip", "city"], rows)
    (repair,) = run(voting, relation).repairs
    assert (repair.cell, repair.value, repair.repair) == (Cell(4, 1), "Birmxngham", "Birmingham")
    assert repair.outcome is Outcome.REPAIRED
    assert repair.confidence is not None
    assert repair.confidence > 0.9
    assert repair.evidence.source == "dependency"
    assert "'zip'" in (repair.evidence.detail or "")
    assert set(repair.evidence.tuple_ids) <= {0, 2, 6, 8, 10}
    assert len(repair.evidence.tuple_ids) == 5


def test_the_model_is_the_evidence_where_it_alone_would_have_chosen(silent: Checkpoint, people: Relation) -> None:
    repairs = run(silent, people, rules=(PatternRule(CITY, "[0-9]*"),), min_confidence=0.2).repairs
    assert len(repairs) > 30
    assert {repair.evidence.source for repair in repairs if repair.outcome is Outcome.REPAIRED} == {"model"}


def test_usage_counts_what_was_read_and_written(
    checkpoint: Checkpoint, people: Relation, result: CleaningResult
) -> None:
    detected = run(checkpoint, people, detect_only=True).usage
    assert result.usage.tuples == detected.tuples == 40
    assert detected.decoder_tokens == 0
    assert 0 < detected.encoder_tokens < result.usage.encoder_tokens
    assert result.usage.decoder_tokens > 0
    assert result.usage.seconds >= 0.0


def test_progress_goes_through_both_stages(checkpoint: Checkpoint, people: Relation) -> None:
    seen: list[tuple[str, int, int]] = []
    result = run_task(checkpoint, clean(checkpoint, people, progress=lambda *one: seen.append(one)))
    assert [stage for stage, _, _ in seen] == sorted(stage for stage, _, _ in seen)  # detect, then repair
    assert seen[0] == ("detect", 40, 40)
    assert seen[-1] == ("repair", len(result.repairs), len(result.repairs))


def test_the_model_alone_and_without_context_can_be_asked(checkpoint: Checkpoint, people: Relation) -> None:
    alone = run_task(checkpoint, clean(checkpoint, people, use_statistics=False))
    without = run_task(checkpoint, clean(checkpoint, people, context_size=0))
    assert alone.repairs
    assert {one.evidence.source for one in alone.repairs} <= {"model", "context"}
    assert without.usage.encoder_tokens < alone.usage.encoder_tokens


# --------------------------------------------------------------------------------------------- options


def test_only_the_attributes_asked_for_are_judged(
    checkpoint: Checkpoint, people: Relation, result: CleaningResult
) -> None:
    flagged = sorted({cell.attribute for cell in cells(result)})
    assert len(flagged) > 1
    asked = run(checkpoint, people, attributes=frozenset(flagged[:1]))
    assert asked.repairs
    assert cells(asked) == [cell for cell in cells(result) if cell.attribute == flagged[0]]
    assert run(checkpoint, people, attributes=frozenset()).repairs == ()


def test_detection_alone_flags_the_same_cells_and_repairs_none(
    checkpoint: Checkpoint, people: Relation, result: CleaningResult
) -> None:
    detected = run(checkpoint, people, detect_only=True)
    flags = [(one.cell, one.error_probability) for one in detected.repairs]
    assert flags == [(one.cell, one.error_probability) for one in result.repairs]
    assert {one.outcome for one in detected.repairs} == {Outcome.ABSTAINED}
    assert all(one.candidates == () and one.repair is None for one in detected.repairs)


def test_no_confidence_reaches_certainty(checkpoint: Checkpoint, people: Relation, result: CleaningResult) -> None:
    certain = run(checkpoint, people, min_confidence=1.0)
    assert cells(certain) == cells(result)
    assert {one.outcome for one in certain.repairs} == {Outcome.ABSTAINED}
    assert [one.candidates for one in certain.repairs] == [one.candidates for one in result.repairs]


def test_confidence_below_the_least_is_an_abstention(
    checkpoint: Checkpoint, people: Relation, every: CleaningResult
) -> None:
    best = sorted(one.candidates[0].confidence for one in every.repairs if one.candidates)
    least = best[len(best) // 2]
    divided = run(checkpoint, people, min_confidence=least)
    assert cells(divided) == cells(every)
    for one in divided.repairs:
        sure = bool(one.candidates) and one.candidates[0].confidence >= least
        assert (one.outcome is Outcome.REPAIRED) == sure
    assert 0 < len(cells(divided, Outcome.REPAIRED)) == sum(confidence >= least for confidence in best) < len(best)
    assert len(cells(every, Outcome.REPAIRED)) == len(best)


def test_an_error_rate_keeps_the_surest_repairs_that_it_allows(
    checkpoint: Checkpoint, people: Relation, every: CleaningResult
) -> None:
    doubts = sorted(1 - one.candidates[0].confidence for one in every.repairs if one.candidates)
    allowed = 0.9 * doubts[0] + 0.1 * sum(doubts) / len(doubts)
    limited = run(checkpoint, people, min_confidence=0.0, max_error_rate=allowed)
    kept = sorted(1 - (one.confidence or 0.0) for one in limited.repairs if one.outcome is Outcome.REPAIRED)
    assert 0 < len(kept) < len(doubts)
    assert kept == doubts[: len(kept)]
    assert sum(kept) <= allowed * len(kept)
    assert sum(doubts[: len(kept) + 1]) > allowed * (len(kept) + 1)
    assert cells(limited) == cells(every)
    dropped = [one for one in limited.repairs if one.outcome is Outcome.ABSTAINED]
    assert all(one.repair is None and one.confidence is None for one in dropped)
    assert [one.candidates for one in limited.repairs] == [one.candidates for one in every.repairs]
    assert cells(run(checkpoint, people, max_error_rate=0.0), Outcome.REPAIRED) == []


@pytest.mark.parametrize("most", [1, 2, 50])
def test_no_more_candidates_come_back_than_asked_for(
    checkpoint: Checkpoint, people: Relation, result: CleaningResult, most: int
) -> None:
    other = run(checkpoint, people, max_candidates=most)
    counts = [len(one.candidates) for one in other.repairs]
    assert max(counts) == most if most < 3 else max(counts) > 3
    for one, before in zip(other.repairs, result.repairs, strict=True):
        shared = min(most, 3)
        assert one.candidates[:shared] == before.candidates[:shared]
        assert (one.outcome, one.repair) == (before.outcome, before.repair)


def test_an_example_is_a_repair_by_itself(checkpoint: Checkpoint, people: Relation) -> None:
    cell = Cell(4, NAME)
    repaired = run(checkpoint, people, examples=(CellExample(cell, "Zoë Quinn"),))
    (mine,) = [one for one in repaired.repairs if one.cell == cell]
    assert (mine.outcome, mine.repair, mine.confidence) == (Outcome.REPAIRED, "Zoë Quinn", 1.0)
    assert mine.value == people.value(cell)
    assert mine.evidence.source == "example"


def test_an_example_that_confirms_a_value_clears_its_flag(
    checkpoint: Checkpoint, people: Relation, result: CleaningResult
) -> None:
    missing, other = (next(one for one in result.repairs if (one.value is None) == kind) for kind in (True, False))
    for known in (CellExample(missing.cell, None), CellExample(missing.cell, "")):
        confirmed = run(checkpoint, people, examples=(known, CellExample(other.cell, other.value)))
        assert not {missing.cell, other.cell} & set(cells(confirmed))


def test_an_example_is_evidence_for_the_others(voting: Checkpoint) -> None:
    rows: list[list[Value]] = [["35233", "Birmingham"], ["35233", "Bham"], ["94107", "SF"], ["94107", "SF"]] * 2
    relation = Relation.of(["zip", "city"], rows)
    examples = tuple(CellExample(Cell(row, 1), "Birmingham") for row in (1,))
    repaired = {one.cell: one.repair for one in run(voting, relation, examples=examples).repairs}
    assert repaired == {Cell(1, 1): "Birmingham", Cell(5, 1): "Birmingham"}


def test_an_edit_of_examples_is_applied_to_a_column_that_seemed_right(silent: Checkpoint, drinks: Relation) -> None:
    known = tuple(CellExample(Cell(row, 1), drinks.tuples[row][1][:-5]) for row in LABELLED)  # type: ignore[index]
    repairs = {one.cell: one for one in run(silent, drinks, examples=known).repairs}
    assert set(repairs) == {Cell(row, 1) for row in range(30)}
    assert {cell: one.repair for cell, one in repairs.items()} == {Cell(row, 1): f"{row % 9 + 3}" for row in range(30)}
    taught = repairs[Cell(29, 1)]
    assert taught.outcome is Outcome.REPAIRED and 0.5 < (taught.confidence or 0) < 1
    assert taught.error_probability > 0.5
    assert taught.evidence.source == "example"
    assert set(taught.evidence.tuple_ids) <= set(LABELLED) and len(taught.evidence.tuple_ids) == 5
    assert taught.evidence.detail and "as examples of this column were corrected" in taught.evidence.detail


def test_without_learning_examples_correct_their_own_cells_only(silent: Checkpoint, drinks: Relation) -> None:
    known = tuple(CellExample(Cell(row, 1), drinks.tuples[row][1][:-5]) for row in LABELLED)  # type: ignore[index]
    task = clean(silent, drinks, CleaningOptions(examples=known), learn=False)
    assert cells(run_task(silent, task)) == [Cell(row, 1) for row in LABELLED]


def test_examples_that_confirm_unflag_what_is_like_them(voting: Checkpoint) -> None:
    pairs = [["35233", "Birmingham"]] * 3 + [["94107", "SF"]] * 3
    relation = Relation.of(["zip", "city"], [*pairs * 3, *([["35233", "Bham"]] * 4)])
    flagged = set(cells(run(voting, relation)))
    assert flagged >= {Cell(row, 1) for row in range(18, 22)}
    known = tuple(CellExample(Cell(row, 1), "Bham") for row in range(18, 21))
    assert Cell(21, 1) not in cells(run(voting, relation, examples=known))


def test_what_is_learned_does_not_depend_on_any_order(silent: Checkpoint, drinks: Relation) -> None:
    rng = random.Random(8)
    known = [CellExample(Cell(row, 1), drinks.tuples[row][1][:-5]) for row in LABELLED]  # type: ignore[index]
    known += [CellExample(Cell(row, 0), drinks.tuples[row][0]) for row in LABELLED[:3]]
    result = run(silent, drinks, examples=tuple(known), suggest_labels=4)
    rows, columns = rng.sample(range(30), 30), rng.sample(range(2), 2)
    place = {old: new for new, old in enumerate(rows)}
    moved = [
        replace(one, cell=Cell(place[one.cell.tuple_id], columns.index(one.cell.attribute)))
        for one in rng.sample(known, len(known))
    ]
    other = run(silent, permuted(drinks, rows, columns), examples=tuple(moved), suggest_labels=4)
    assert len(result.repairs) == 30
    assert moved_back(other.repairs, rows, columns) == list(result.repairs)
    back = [replace(one, tuple_id=rows[one.tuple_id]) for one in other.suggestions]
    assert back == list(result.suggestions) and len(back) == 4


def test_rows_to_label_are_named_where_they_are_asked_for(
    checkpoint: Checkpoint, people: Relation, result: CleaningResult
) -> None:
    assert result.suggestions == ()
    known = tuple(CellExample(Cell(5, attribute), people.tuples[5][attribute]) for attribute in range(6))
    named = run(checkpoint, people, suggest_labels=39, examples=known).suggestions
    assert sorted(one.tuple_id for one in named) == [*range(5), *range(6, 40)]
    assert all(one.reason.startswith("stands for ") for one in named)
    asked = run(checkpoint, people, suggest_labels=3)
    assert asked.repairs == result.repairs and len(asked.suggestions) == 3


def test_examples_count_as_flags_only_where_nothing_is_to_be_repaired(checkpoint: Checkpoint, people: Relation) -> None:
    detected = run(checkpoint, people, detect_only=True, examples=(CellExample(Cell(4, NAME), "Zoë Quinn"),))
    (mine,) = [one for one in detected.repairs if one.cell == Cell(4, NAME)]
    assert mine.outcome is Outcome.ABSTAINED
    assert mine.error_probability == 1.0
    assert {one.outcome for one in detected.repairs} == {Outcome.ABSTAINED}


def test_a_pattern_flags_what_breaks_it_and_bounds_what_replaces_it(silent: Checkpoint, people: Relation) -> None:
    assert run(silent, people).repairs == ()
    broken = [Cell(t, STATE) for t, row in enumerate(people.tuples) if row[STATE] and len(row[STATE] or "") != 2]
    broken += [Cell(t, STATE) for t, row in enumerate(people.tuples) if (row[STATE] or "AA")[0].islower()]
    found = run(silent, people, rules=(PatternRule(STATE, "[A-Z]{2}"),), max_candidates=50)
    assert cells(found) == sorted(set(broken), key=lambda cell: cell.tuple_id)
    assert found.repairs
    for one in found.repairs:
        assert one.error_probability == 1.0
        assert all(not c.value or (len(c.value) == 2 and c.value.isupper()) for c in one.candidates)


def test_a_pattern_matches_from_start_to_end_and_not_the_missing(silent: Checkpoint) -> None:
    relation = Relation.of(["code"], [["A1"], ["A12"], [" A1"], [None], [""]])
    found = run(silent, relation, rules=(PatternRule(0, "[A-Z][0-9]"),))
    assert [cell.tuple_id for cell in cells(found)] == [1, 2]


def test_a_domain_flags_other_values_and_offers_its_own(silent: Checkpoint, people: Relation) -> None:
    states = frozenset({"AL", "CA", "NY", "IL", "CO"})
    wrong = [Cell(t, STATE) for t, row in enumerate(people.tuples) if row[STATE] and row[STATE] not in states]
    found = run(silent, people, rules=(DomainRule(STATE, states),), max_candidates=50, min_confidence=0.0)
    assert cells(found) == wrong
    assert wrong
    for one in found.repairs:
        offered = {candidate.value for candidate in one.candidates}
        assert offered - {""} == states
        assert one.outcome is Outcome.REPAIRED
        assert one.repair in states | {""}


def test_an_abstention_by_a_rule_names_the_rule(silent: Checkpoint, people: Relation) -> None:
    found = run(silent, people, rules=(DomainRule(STATE, frozenset({"AL"})),), min_confidence=1.0)
    assert {one.evidence.source for one in found.repairs} == {"rule"}
    assert len(found.repairs) > 10


def test_two_rules_about_one_attribute_hold_both(silent: Checkpoint) -> None:
    relation = Relation.of(["code"], [["A1"], ["B1"], ["A2"], ["C3"]])
    rules = (DomainRule(0, frozenset({"A1", "B1", "C3"})), PatternRule(0, "[AB].*"))
    found = run(silent, relation, rules=rules, max_candidates=9)
    assert [cell.tuple_id for cell in cells(found)] == [2, 3]
    for one in found.repairs:
        assert {candidate.value for candidate in one.candidates} <= {"A1", "B1", ""}


def test_a_dependency_that_is_given_votes_where_none_was_found(voting: Checkpoint) -> None:
    rows: list[list[Value]] = [[f"k{n // 3}", f"v{n // 3}", f"w{n % 2}"] for n in range(30)]
    rows[4][1] = "odd"
    relation = Relation.of(["key", "value", "other"], rows)
    ruled = run(voting, relation, rules=(FunctionalDependency((0,), 1),))
    mine = next(one for one in ruled.repairs if one.cell == Cell(4, 1))
    assert mine.repair == "v1"
    assert mine.evidence.source == "dependency"
    rule = FunctionalDependency((0, 2), 1)
    assert Cell(4, 1) in cells(run(voting, relation, rules=(rule,)))


def test_rules_hold_in_every_order_of_columns(silent: Checkpoint, people: Relation) -> None:
    columns = [PHONE, CITY, STATE, NAME, ID, ZIP]
    found = run(silent, people, rules=(PatternRule(STATE, "[A-Z]{2}"),), min_confidence=0.1)
    other = run(silent, permuted(people, range(40), columns), rules=(PatternRule(2, "[A-Z]{2}"),), min_confidence=0.1)
    assert found.repairs
    assert moved_back(other.repairs, range(40), columns) == list(found.repairs)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"attributes": frozenset({6})}, "columns"),
        ({"attributes": frozenset({-1})}, "columns"),
        ({"min_confidence": 1.01}, "min_confidence"),
        ({"min_confidence": float("nan")}, "min_confidence"),
        ({"max_error_rate": -0.1}, "max_error_rate"),
        ({"max_candidates": 0}, "max_candidates"),
        ({"suggest_labels": -1}, "suggest_labels"),
        ({"examples": (CellExample(Cell(40, 0), "x"),)}, "examples"),
        ({"examples": (CellExample(Cell(0, 6), "x"),)}, "examples"),
        ({"examples": (CellExample(Cell(-1, 0), "x"),)}, "examples"),
        ({"examples": (CellExample(Cell(0, 0), "x"), CellExample(Cell(0, 0), "y"))}, "examples"),
        ({"rules": (PatternRule(6, "x"),)}, "rules"),
        ({"rules": (PatternRule(0, "("),)}, "rules"),
        ({"rules": (PatternRule(0, "a{99999999999999999999}"),)}, "rules"),
        ({"rules": (PatternRule(0, "a" * 501),)}, "rules"),
        ({"rules": (DomainRule(-1, frozenset({"x"})),)}, "rules"),
        ({"rules": (FunctionalDependency((), 1),)}, "rules"),
        ({"rules": (FunctionalDependency((1,), 1),)}, "rules"),
        ({"rules": (FunctionalDependency((0, 9), 1),)}, "rules"),
    ],
)
def test_an_option_that_does_not_fit_is_refused_before_anything_runs(
    checkpoint: Checkpoint, people: Relation, options: dict[str, Any], field: str
) -> None:
    task = clean(checkpoint, people, CleaningOptions(**options))
    with pytest.raises(OptionError) as caught:
        next(task)
    assert caught.value.field == field


def test_the_place_of_a_bad_example_is_named(checkpoint: Checkpoint, people: Relation) -> None:
    with pytest.raises(OptionError) as caught:
        run(checkpoint, people, examples=(CellExample(Cell(77, 2), "x"),))
    assert (caught.value.tuple_id, caught.value.attribute) == (77, 2)


def test_a_checkpoint_without_calibrators_is_refused(bare_checkpoint: Checkpoint, people: Relation) -> None:
    with pytest.raises(CheckpointError, match="calibrated"):
        run(bare_checkpoint, people)


# ------------------------------------------------------------------------------------------- odd input


def test_an_empty_relation_is_clean(checkpoint: Checkpoint) -> None:
    result = run(checkpoint, Relation.of(["a", "b"], []))
    assert result.repairs == ()
    assert result.usage.tuples == 0


ODD: dict[str, Relation] = {
    "one cell": Relation.of(["a"], [["x"]]),
    "one column": Relation.of(["a"], [[f"v{number % 3}"] for number in range(9)]),
    "every cell missing": Relation.of(["a", "b"], [[None, ""]] * 5),
    "duplicate names": Relation.of(["a", "a", "a"], [["1", "2", "2"], ["3", "4", "4"], ["1", "9", "2"]]),
    "empty names": Relation.of(["", ""], [["1", "2"], ["3", "4"]]),
    "long cells": Relation.of(["a", "b"], [["word " * 400, "x"], ["7" * 2000, "y"], ["word " * 400 + "!", "x"]]),
    "odd characters": Relation.of(["a\x00", "\ud800"], [["\x00", "\ud83d"], ["😀" * 50, "\u202e"], ["[M]", "[V]"]]),
    "wide": Relation.of([f"c{number}" for number in range(60)], [[str(n % 7) for n in range(60)]] * 3),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_relations_are_judged(checkpoint: Checkpoint, make_calibration: MakeCalibration, name: str) -> None:
    everything = replace(checkpoint, calibration=make_calibration({}, 3, {"mean_log_probability": 0.1}, 3))
    relation = ODD[name]
    found = run(everything, relation)
    wanted = [Cell(t, a) for t in range(len(relation)) for a in range(len(relation.attributes))]
    assert cells(found) == wanted
    for one in found.repairs:
        assert one.value == relation.value(one.cell)


def test_columns_of_one_name_are_told_apart(voting: Checkpoint) -> None:
    halves = (("35233", "Birmingham", "x"), ("94107", "San Francisco", "y"))
    rows: list[list[Value]] = [list(halves[n % 2]) for n in range(12)]
    rows[4][1] = "Birmxngham"
    relation = Relation.of(["a", "a", "b"], rows)
    found = {one.cell: one.repair for one in run(voting, relation).repairs}
    assert found == {Cell(4, 1): "Birmingham"}
    swapped = permuted(relation, range(12), [1, 2, 0])
    assert {one.cell: one.repair for one in run(voting, swapped).repairs} == {Cell(4, 0): "Birmingham"}

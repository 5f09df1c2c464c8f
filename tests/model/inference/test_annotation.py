"""Annotation: what speaks for a label, labelled columns that teach, and that order changes nothing."""

from __future__ import annotations

import random
import zlib
from dataclasses import replace

import numpy as np
import pytest

from model.calibration import Calibration
from model.checkpoint import Checkpoint
from model.errors import InputError, OptionError
from model.inference.annotation import (
    BUILT_IN,
    FEATURES,
    Annotation,
    AnnotationOptions,
    LabelledColumn,
    annotate,
    is_plain,
    witnesses,
)
from model.inference.batching import run_task, run_tasks
from model.naming import BUCKETS, NameModel
from model.tuples import Relation
from tests.conftest import MakeCalibrator, known_values

LABELS = ("city", "date", "price", "person")
TABLE = Relation.of(
    ("column 1", "column 2", "cost in USD"),
    [("Boston", "2001-02-03", "$1.50"), ("Denver", "2004-05-06", "$12"), ("Boston", "2007-08-09", "$3")],
)


@pytest.fixture(scope="module")
def annotating(bare_checkpoint: Checkpoint, make_calibrator: MakeCalibrator) -> Checkpoint:
    """The tiny model with a model of names that knows two cities, and a calibrator that trusts it, kinds, headers."""
    vectors = np.zeros((BUCKETS, 2), dtype=np.float32)
    for word in ("boston", "denver"):
        vectors[zlib.crc32(f"=={'<' + word + '>'}".encode()) % BUCKETS, 0] = 200.0
    names = NameModel(("city", "person"), vectors, np.eye(2, dtype=np.float32), np.zeros(2), np.zeros(2))  # type: ignore[arg-type]
    weights = {"values_rank": 2.0, "kind_fit": 6.0, "kind_misfit": -3.0, "header": 2.0, "label_in_values": 1.0}
    calibration = Calibration({"annotation": make_calibrator(FEATURES, weights, -2.0)})
    return replace(bare_checkpoint, names=names, calibration=calibration)


def columns(checkpoint: Checkpoint, relation: Relation, **options: object) -> list[Annotation]:
    asked = AnnotationOptions(LABELS, **options)  # type: ignore[arg-type]
    return list(run_task(checkpoint, annotate(checkpoint, relation, asked)).annotations)


def test_values_kinds_and_headers_speak_for_labels(annotating: Checkpoint) -> None:
    found = columns(annotating, TABLE)
    assert [one.attribute for one in found] == [0, 1, 2]
    assert [one.label for one in found] == ["city", "date", "price"]
    assert "values" in found[0].detail and "formats" in found[1].detail
    assert all(one.candidates[0].label == one.label and len(one.candidates) == 3 for one in found)
    assert sum(candidate.confidence for candidate in found[0].candidates) <= 1.000001


PEOPLE = Relation.of(("column 1",), [("Grace Hopper",), ("Ada Lovelace",), ("Mary Somerville",)])


def test_columns_of_other_tables_that_have_these_values_speak_for_labels(
    annotating: Checkpoint, make_calibrator: MakeCalibrator
) -> None:
    known = known_values(("city", "person"), {"Grace Hopper": (4, {1: 3}), "Ada Lovelace": (4, {1: 3})})
    calibration = Calibration({"annotation": make_calibrator(FEATURES, {"stands_under_rank": 2.0}, -2.0)})
    with_them = replace(annotating, known_values=known, calibration=calibration)
    (found,) = columns(with_them, PEOPLE)
    assert found.label == "person" and "columns of other tables" in found.detail
    (judged, *_), _ = run_task(with_them, witnesses(with_them, [(PEOPLE, 0)], LABELS))
    said = judged[LABELS.index("person"), FEATURES.index("stands_under")]
    assert said == pytest.approx(2 / 3 * np.log((3 + 0.03) / (7 * 0.01)), abs=1e-4)
    (without,) = columns(replace(with_them, known_values=None), PEOPLE)
    assert without.label is None


def test_what_is_not_likely_enough_is_not_labelled(annotating: Checkpoint) -> None:
    found = columns(annotating, TABLE, min_confidence=1.0)
    assert [one.label for one in found] == [None] * 3
    assert [one.candidates[0].label for one in found] == ["city", "date", "price"]


def test_order_of_rows_columns_and_labels_changes_nothing(annotating: Checkpoint) -> None:
    plain = {TABLE.attributes[one.attribute]: replace(one, attribute=0) for one in columns(annotating, TABLE)}
    rng = random.Random(2)
    for _ in range(3):
        order = rng.sample(range(3), 3)
        rows = [[row[a] for a in order] for row in rng.sample(TABLE.tuples, 3)]
        shuffled = Relation.of([TABLE.attributes[a] for a in order], rows)
        asked = AnnotationOptions(tuple(rng.sample(LABELS, len(LABELS))))
        found = run_task(annotating, annotate(annotating, shuffled, asked)).annotations
        assert {shuffled.attributes[one.attribute]: replace(one, attribute=0) for one in found} == plain


def test_company_changes_nothing(annotating: Checkpoint) -> None:
    asked = AnnotationOptions(LABELS)
    wide = Relation.of([f"c{n}" for n in range(9)], [[f"{n}x{r}" for n in range(9)] for r in range(8)])
    together = list(run_tasks(annotating, [annotate(annotating, one, asked) for one in (wide, TABLE)]))
    assert list(together[1].annotations) == columns(annotating, TABLE)


def test_labelled_columns_teach_labels_that_nothing_else_knows(annotating: Checkpoint) -> None:
    table = Relation.of(("x",), [("zork blue",), ("zork red",)])
    examples = [LabelledColumn((f"zork {color}", "zork"), "person") for color in ("green", "pink", "grey")]
    examples += [LabelledColumn((f"plim {number}", "plim"), "price") for number in ("one", "two", "three")]
    assert columns(annotating, table)[0].label is None
    (taught,) = columns(annotating, table, examples=tuple(examples))
    assert taught.label == "person"
    (again,) = columns(annotating, table, examples=tuple(reversed(examples)))
    assert again == taught


def test_labelled_columns_of_one_label_tell_nothing_apart(annotating: Checkpoint) -> None:
    examples = tuple(LabelledColumn((f"zork {color}",), "person") for color in ("green", "pink", "grey"))
    assert columns(annotating, TABLE, examples=examples) == columns(annotating, TABLE)


def test_a_column_unlike_the_labelled_ones_is_no_more_theirs_than_before(annotating: Checkpoint) -> None:
    table = Relation.of(["x"], [["qqqq wwww"], ["rrrr tttt"]])
    examples = [LabelledColumn(("2001-02-03", "1999-01-01"), "date"), LabelledColumn(("$1.50", "$3"), "price")]
    (plain,), (taught,) = columns(annotating, table), columns(annotating, table, examples=tuple(examples))
    before = sum(one.confidence for one in plain.candidates if one.label in ("date", "price"))
    after = sum(one.confidence for one in taught.candidates if one.label in ("date", "price"))
    assert before < 0.5 and after < before + 0.15 and taught.label is None


def test_a_column_without_values_has_no_witness_but_its_header(annotating: Checkpoint) -> None:
    judged, tokens = run_task(annotating, witnesses(annotating, [(Relation.of(("city",), [(None,)]), 0)], LABELS))
    known = {name: judged[0][:, place] for place, name in enumerate(FEATURES)}
    assert known["header"].tolist()[0] == 1.0 and known["header_rank"][0] > 0.0
    assert not known["values"].any() and not known["kind_fit"].any() and tokens > 0


@pytest.mark.parametrize(
    ("name", "plain"), [("column 3", True), ("V1", True), ("7", True), ("", True), ("city", False)]
)
def test_headers_that_say_nothing(name: str, plain: bool) -> None:
    assert is_plain(name) is plain


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (AnnotationOptions(()), "none"),
        (AnnotationOptions(("a", " ")), "blank"),
        (AnnotationOptions(("a", "a")), "twice"),
        (AnnotationOptions(("a",), min_confidence=2.0), "min_confidence"),
        (AnnotationOptions(("a",), examples=(LabelledColumn(("x",), "b"),)), "none of the labels"),
    ],
)
def test_labels_that_cannot_be_asked_are_refused(
    annotating: Checkpoint, options: AnnotationOptions, message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        run_task(annotating, annotate(annotating, TABLE, options))


def test_the_built_in_labels_are_distinct() -> None:
    assert len(set(BUILT_IN)) == len(BUILT_IN) > 60


def test_a_checkpoint_that_weighs_labels_as_another_version_does_says_so(
    annotating: Checkpoint, make_calibrator: MakeCalibrator
) -> None:
    calibration = Calibration({"annotation": make_calibrator(FEATURES[:-2], {"values": 1.0}, 0.0)})
    with pytest.raises(InputError, match="another version"):
        columns(replace(annotating, calibration=calibration), TABLE)


def test_a_checkpoint_that_was_not_trained_to_annotate_says_so(bare_checkpoint: Checkpoint) -> None:
    with pytest.raises(InputError, match="cannot annotate"):
        columns(bare_checkpoint, TABLE)

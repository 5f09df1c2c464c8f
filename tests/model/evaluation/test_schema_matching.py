"""Families of schema pairs are read, ranked and counted; the figures are right on a pair whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.checkpoint import Checkpoint
from model.errors import InputError
from model.evaluation.figures import Resampling
from model.evaluation.schema_matching import Said, evaluate_schema, figures_of
from model.evaluation.schema_sets import read_family
from tests.model.evaluation.conftest import write_csv

DESCRIBED = ("column", "table", "attribute", "table_description", "column_description")


@pytest.fixture(scope="session")
def schema_bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One pair of each family."""
    bench = tmp_path_factory.mktemp("schemas")
    rows = [[str(number), f"town {number % 7}", f"{number}.5"] for number in range(20)]
    for family in ("valentine-tpcdi", "valentine-magellan"):
        folder = bench / "schema" / family / "pair"
        write_csv(folder / "source.csv", ("id", "city", "price"), rows)
        write_csv(folder / "target.csv", ("ct", "prc", "zz"), [[row[1], row[2], "x"] for row in rows])
        write_csv(folder / "matches.csv", ("source_column", "target_column"), [["city", "ct"], ["price", "prc"]])
    folder = bench / "schema" / "omap" / "one"
    for side, name in (("source", "birth"), ("target", "birth_date")):
        columns = [[f"t-{name}", "t", name, "people", "when born"], ["t-sex", "t", "sex", "people", "of the person"]]
        write_csv(folder / f"{side}_schema.csv", DESCRIBED, columns)
    write_csv(folder / "matches.csv", ("source_column", "target_column"), [["t-birth", "t-birth_date"]])
    return bench


def test_pairs_are_read_with_rows_or_with_descriptions(schema_bench: Path) -> None:
    (pair,) = read_family(schema_bench, "valentine-tpcdi")
    assert (pair.name, set(pair.truth)) == ("pair", {(1, 0), (2, 1)})
    assert pair.source.relation.column(1)[:2] == ["town 0", "town 1"]
    (described,) = read_family(schema_bench, "omap")
    assert described.source.relation.attributes == ("t-birth", "t-sex")
    assert described.source.descriptions == ("when born people", "of the person people")
    assert len(described.source.relation) == 0


def test_a_family_that_is_not_there_is_named(schema_bench: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="schema/valentine-tpcdi"):
        read_family(tmp_path, "valentine-tpcdi")
    folder = tmp_path / "schema" / "omap" / "one"
    write_csv(folder / "source.csv", ("a",), [["1"]])
    write_csv(folder / "target.csv", ("a",), [["1"]])
    write_csv(folder / "matches.csv", ("source_column", "target_column"), [["a", "nowhere"]])
    with pytest.raises(InputError, match=r"one/matches\.csv"):
        read_family(tmp_path, "omap")


def test_the_figures_of_a_known_answer() -> None:
    scores = np.array([[0.9, 0.5, 0.5], [0.8, 0.7, 0.1]])
    truth = np.array([[True, False, False], [False, True, False]])
    matches = np.array([[True, False, False], [False, False, True]])
    figures = figures_of([Said(scores, matches, scores >= 0.7)], [truth], Resampling(0, 10))
    assert figures["MRR"].value == pytest.approx((1 + 1 / 2) / 2)
    assert figures["recall at truth"].value == 0.5  # 0.9 and 0.8 are the first two
    assert (figures["precision"].value, figures["recall"].value, figures["F1"].value) == (0.5, 0.5, 0.5)
    assert figures["F1, n:m"].value == pytest.approx(2 * 2 / (3 + 2))


def test_columns_that_are_scored_alike_share_their_ranks() -> None:
    level = Said(np.zeros((1, 3)), np.zeros((1, 3), bool), np.zeros((1, 3), bool))
    figures = figures_of([level], [np.array([[True, False, False]])], Resampling(0, 10))
    assert figures["MRR"].value == pytest.approx(1 / 2)


def test_every_family_has_the_model_and_a_baseline(schema_bench: Path, checkpoint: Checkpoint) -> None:
    tables = evaluate_schema(schema_bench, checkpoint, resampling=Resampling(0, 10))
    assert [table.title.split(" (")[0] for table in tables] == ["valentine-tpcdi", "valentine-magellan", "omap, one"]
    assert [row.system for row in tables[0].rows] == [
        "model",
        "model without the rows",
        "names, values and words, nothing learned",
    ]
    assert [row.system for row in tables[2].rows][0] == "model"
    assert tables[0].rows[0].figures["MRR"].value == 1.0
    assert tables[2].rows[0].figures["F1"].value == pytest.approx(2 / 3)  # both columns are matched, one is known
    assert len(tables[0].reliabilities[0]) == 3


def test_tables_of_the_validation_shard_are_cut_and_matched_too(
    schema_bench: Path, small_corpus: Path, checkpoint: Checkpoint
) -> None:
    tables = evaluate_schema(schema_bench, checkpoint, small_corpus, resampling=Resampling(0, 10))
    cuts = [table for table in tables if table.title.startswith("cuts of")]
    assert cuts and cuts[0].title.startswith("cuts of unseen tables (")
    assert cuts[0].rows[0].figures["MRR"].value > 0.7


def test_a_checkpoint_without_calibrators_of_columns_is_refused(
    schema_bench: Path, bare_checkpoint: Checkpoint
) -> None:
    with pytest.raises(InputError, match="cannot match columns"):
        evaluate_schema(schema_bench, bare_checkpoint)

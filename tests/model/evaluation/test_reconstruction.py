import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from model.checkpoint import Checkpoint
from model.corpus import read_tables
from model.errors import InputError
from model.evaluation.baselines import column_mode
from model.evaluation.figures import Resampling
from model.evaluation.reconstruction import (
    ColumnKind,
    MaskedTable,
    column_kind,
    evaluate_reconstruction,
    mask_table,
    measure_reconstruction,
    sample_masked_tables,
)
from model.tuples import Cell, Relation

CITIES = ("Oslo", "Bonn", "Bern")


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("sex", ["M", "F"] * 20, ColumnKind.CATEGORICAL),
        ("city", ["Oslo", "Bonn", "Bern", "Rome"] * 5, ColumnKind.CATEGORICAL),
        ("price", [f"{number}.50" for number in range(30)], ColumnKind.NUMERIC),
        ("euro", [f"{number},5" for number in range(30)], ColumnKind.NUMERIC),
        ("rating", ["1", "2", "3", "4"] * 10, ColumnKind.NUMERIC),
        ("share", [f"{number}%" for number in range(30)], ColumnKind.NUMERIC),
        ("zip", [str(10_000 + number) for number in range(30)], ColumnKind.IDENTIFIER),
        ("plz", [f"0{1000 + number}" for number in range(30)], ColumnKind.IDENTIFIER),
        ("customerId", [str(number) for number in range(30)], ColumnKind.IDENTIFIER),
        ("seq", [str(36_000 + number) for number in range(30)], ColumnKind.IDENTIFIER),
        ("phone", [f"415/982-{number:04d}" for number in range(30)], ColumnKind.IDENTIFIER),
        ("site", [f"https://example.org/{number}" for number in range(30)], ColumnKind.IDENTIFIER),
        ("iso", [chr(65 + number) + "AB" for number in range(26)], ColumnKind.IDENTIFIER),
        ("day", [f"2020-01-{number:02d}" for number in range(1, 29)], ColumnKind.DATE_TIME),
        ("born", [f"{number} March 1990" for number in range(1, 29)], ColumnKind.DATE_TIME),
        ("us", [f"3/{number}/1990" for number in range(1, 29)], ColumnKind.DATE_TIME),
        ("start", [f"{number % 12 + 1}:05 p.m." for number in range(28)], ColumnKind.DATE_TIME),
        ("at", [f"2020-01-{number:02d}T10:17:55Z" for number in range(1, 29)], ColumnKind.DATE_TIME),
        ("rate", [f"3264.{number}" for number in range(10, 40)], ColumnKind.NUMERIC),
        ("name", [f"Clinic of Saint {chr(65 + number)}" for number in range(26)], ColumnKind.FREE_TEXT),
    ],
)
def test_columns_are_classified_by_their_values(name: str, values: list[str], kind: ColumnKind) -> None:
    assert column_kind(name, [*values, None, ""]) is kind


def cities(rows: int = 60) -> Relation:
    table = [[f"Item number {row}", CITIES[row % 3], CITIES[row % 3][:2].upper(), "same", None] for row in range(rows)]
    return Relation.of(("name", "city", "code", "constant", "empty"), table)


def test_hidden_cells_are_missing_and_their_truth_is_kept_aside() -> None:
    masked = mask_table(cities(), random.Random(1), 4, shuffled=False)
    # Of five attributes one is constant and one is empty; each of the others is hidden once, in a tuple of its own.
    assert len(masked.cells) == len({cell.tuple_id for cell in masked.cells}) == 3
    assert {cell.attribute for cell in masked.cells} == {0, 1, 2}
    for cell, true, kind in zip(masked.cells, masked.truth, masked.kinds, strict=True):
        assert masked.relation.value(cell) is None
        assert true == cities().value(cell)
        assert (kind is ColumnKind.FREE_TEXT) == (cell.attribute == 0)


def test_shuffling_keeps_each_column_and_breaks_rows_apart() -> None:
    plain = mask_table(cities(), random.Random(1), 3, shuffled=False)
    shuffled = mask_table(cities(), random.Random(1), 3, shuffled=True)
    assert plain.cells == shuffled.cells

    def whole(masked: MaskedTable, attribute: int) -> list[str | None]:
        values = masked.relation.column(attribute)
        for cell, true in zip(masked.cells, masked.truth, strict=True):
            if cell.attribute == attribute:
                values[cell.tuple_id] = true
        return values

    for attribute in range(5):
        assert Counter(whole(plain, attribute)) == Counter(whole(shuffled, attribute))
    agreeing = sum(
        city[:2].upper() == code for city, code in zip(whole(shuffled, 1), whole(shuffled, 2), strict=True) if city
    )
    assert agreeing < 40


def test_windows_repeat_with_their_seed_and_repositories_take_turns(small_corpus: Path) -> None:
    tables = list(read_tables(small_corpus / "valid.jsonl.zst"))
    masked = sample_masked_tables(tables, 24, 0)
    assert masked == sample_masked_tables(tables, 24, 0)
    assert masked != sample_masked_tables(tables, 24, 1)
    assert sum(len(one.cells) for one in masked) == 24
    owners = [(one.relation.name or "").split(":")[0] for one in masked]
    assert owners == ["a/one", "b/two"] * 3


def test_exact_match_is_counted_by_kind() -> None:
    relation = Relation.of(("city", "day"), [[None, "2020-01-01"], ["Bonn", None]])
    kinds = (ColumnKind.CATEGORICAL, ColumnKind.DATE_TIME)
    masked = MaskedTable(relation, (Cell(0, 0), Cell(1, 1)), ("Oslo", "2020-01-02"), kinds)

    def imputer(_: Relation, cells: Sequence[Cell]) -> list[str | None]:
        return ["Oslo" if cell.attribute == 0 else "2020-01-3" for cell in cells]

    table = measure_reconstruction({"it": ([masked, masked], imputer)}, Resampling())
    figures = {name: figure.value for name, figure in table.rows[0].figures.items()}
    assert figures.pop("cells/s") > 0
    assert figures == {"all": 50.0, "categorical": 100.0, "date or time": 0.0}
    assert table.notes[0].startswith("Cells by kind of column: categorical 2, date or time 2.")


def test_conditions_and_baselines_stand_in_one_table(small_corpus: Path, checkpoint: Checkpoint) -> None:
    stages: list[tuple[str, int, int]] = []
    (table,) = evaluate_reconstruction(small_corpus, checkpoint, cells=8, progress=lambda *one: stages.append(one))
    assert [row.system for row in table.rows] == [
        "model",
        "model alone",
        "model alone, no context",
        "column mode",
        "nearest row",
        "model alone, shuffled",
        "column mode, shuffled",
        "nearest row, shuffled",
    ]
    assert ("reconstruction: model alone, shuffled", 2, 2) in stages
    assert [one.name for one in table.reliabilities] == [
        f"filling, held-out tables, {label}" for label in ("model", "model alone", "model alone, no context")
    ]
    assert [len(one) for one in table.reliabilities] == [8, 8, 8]
    masked = sample_masked_tables(list(read_tables(small_corpus / "valid.jsonl.zst")), 8, 0)
    right = [
        answer == true
        for one in masked
        for answer, true in zip(column_mode(one.relation, one.cells), one.truth, strict=True)
    ]
    assert table.rows[3].figures["all"].value == pytest.approx(100 * sum(right) / 8)


def test_a_folder_without_the_shard_is_refused(tmp_path: Path, checkpoint: Checkpoint) -> None:
    with pytest.raises(InputError, match=r"valid\.jsonl\.zst"):
        evaluate_reconstruction(tmp_path, checkpoint)

"""What all table files share: unique names, edits in order, errors that name the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.storage.table_file import CellEdit, EditProblem, EditQueue, FormatError, TableFileError, unique_names


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (["a", "b"], ("a", "b")),
        (["a", "a", ""], ("a", "a_2", "column_3")),
        (["a", "a_2", "a", "a"], ("a", "a_2", "a_3", "a_4")),
        (["", "column_1", " "], ("column_1_2", "column_1", "column_3")),
        ([], ()),
    ],
)
def test_names_become_unique_and_given_names_stay(columns: list[str], names: tuple[str, ...]) -> None:
    assert unique_names(columns) == names


def test_edits_are_handed_out_up_to_a_row_and_the_rest_is_missing() -> None:
    edits = [CellEdit(0, 1, "a"), CellEdit(2, 0, "b"), CellEdit(7, 0, "c")]
    queue = EditQueue(iter(edits))
    assert list(queue.before(2)) == edits[:1]
    assert list(queue.before(3)) == edits[1:2]
    assert [(result.edit, result.problem) for result in queue.missing()] == [(edits[2], EditProblem.MISSING)]


def test_two_edits_of_one_cell_are_refused() -> None:
    queue = EditQueue([CellEdit(0, 0, "a"), CellEdit(0, 0, "a")])
    with pytest.raises(TableFileError, match="row 0: edits must be in order"):
        list(queue.before(1))


def test_an_error_names_its_place() -> None:
    error = FormatError("is odd", path=Path("t.csv"), line=3, row=1, column="city")
    assert str(error) == "t.csv, line 3, row 1, column 'city': is odd"

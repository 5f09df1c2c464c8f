"""Parquet keeps its schema, metadata and untouched values; an edit is cast to the column's type or refused."""

from __future__ import annotations

import datetime
import io
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.storage.formats.parquet import ParquetFile
from service.storage.table_file import CellEdit, EditProblem, FormatError

SCHEMA = pa.schema(
    [
        pa.field("name", pa.string(), metadata={"note": "kept"}),
        pa.field("n", pa.int32()),
        pa.field("price", pa.decimal128(8, 2)),
        pa.field("day", pa.date32()),
        pa.field("kind", pa.dictionary(pa.int8(), pa.string())),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("raw", pa.binary()),
    ],
    metadata={"origin": "test"},
)
ROWS: dict[str, list[object]] = {
    "name": ["Ann", None, "007"],
    "n": [1, 2, None],
    "price": [Decimal("1.50"), None, Decimal("3.00")],
    "day": [datetime.date(2024, 1, 31), None, None],
    "kind": ["a", "b", "a"],
    "tags": [["x"], [], None],
    "raw": [b"\xff", b"", None],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A Parquet file of three rows in two row groups."""
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table(ROWS, schema=SCHEMA), path, row_group_size=2, compression="zstd")
    return path


def test_cells_are_text_and_columns_without_text_are_skipped(path: Path) -> None:
    with ParquetFile(path) as table:
        (chunk,) = table.chunks()
        assert sorted(table.skipped) == [5, 6]
        assert chunk.rows == [
            ("Ann", "1", "1.50", "2024-01-31", "a", None, None),
            (None, "2", None, None, "b", None, None),
            ("007", None, "3.00", None, "a", None, None),
        ]
        assert [part.row_numbers for part in table.chunks(2)] == [[0, 1], [2]]


def test_edits_are_cast_and_everything_else_is_kept(path: Path) -> None:
    edits = [
        CellEdit(0, 0, "Ann", "Anne"),
        CellEdit(0, 1, "1", "one"),
        CellEdit(0, 5, None, "x"),
        CellEdit(1, 2, None, "2.25"),
        CellEdit(1, 3, None, "2024-02-30"),
        CellEdit(2, 1, None, "12"),
        CellEdit(2, 2, "9.00", "8.00"),
        CellEdit(2, 4, "a", "c"),
        CellEdit(9, 0, "x", "y"),
    ]
    sink = io.BytesIO()
    with ParquetFile(path) as table:
        problems = [result.problem for result in table.rewrite(edits, sink)]
    wrong = EditProblem.WRONG_TYPE
    mismatch, missing = EditProblem.MISMATCH, EditProblem.MISSING
    assert problems == [None, wrong, wrong, None, wrong, None, mismatch, None, missing]

    changed = pq.ParquetFile(io.BytesIO(sink.getvalue()))
    expected = {
        **ROWS,
        "name": ["Anne", None, "007"],
        "n": [1, 2, 12],
        "price": [Decimal("1.50"), Decimal("2.25"), Decimal("3.00")],
        "kind": ["a", "b", "c"],
    }
    assert changed.read().to_pydict() == expected
    assert changed.schema_arrow.equals(pq.ParquetFile(path).schema_arrow, check_metadata=True)
    assert changed.schema_arrow.field("name").metadata == {b"note": b"kept"}
    assert [changed.metadata.row_group(group).num_rows for group in range(2)] == [2, 1]
    assert changed.metadata.row_group(0).column(0).compression == "ZSTD"


def test_a_null_can_be_written_back(path: Path) -> None:
    sink = io.BytesIO()
    with ParquetFile(path) as table:
        assert [result.problem for result in table.rewrite([CellEdit(0, 1, "1", None)], sink)] == [None]
    assert pq.read_table(io.BytesIO(sink.getvalue())).column("n").to_pylist() == [None, 2, None]


def test_something_else_under_the_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(FormatError, match="not a Parquet file"):
        ParquetFile(path)

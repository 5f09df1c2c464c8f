"""Parquet: values in, values out; schema, metadata, row groups and codecs are kept.

The one idea: a Parquet file cannot be edited in place, so "faithful" means the same schema and the same values
everywhere but in the edited cells. Cells are read as text by casting; an edit is cast back to the column's own type,
and one that does not fit is refused, never bent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from service.storage.table_file import (
    ROWS_PER_CHUNK,
    CellEdit,
    EditProblem,
    EditQueue,
    EditResult,
    FileFormat,
    FormatError,
    RowChunk,
    TableFile,
    Text,
    Unchanged,
)


class ParquetFile(TableFile):
    """A Parquet file; see `TableFile`. Columns without a text form (nested, binary) are skipped and kept.

    Raises:
        FormatError: not a Parquet file.
    """

    format = FileFormat.PARQUET

    def __init__(self, path: Path) -> None:
        self.path = path
        self.output_suffix = path.suffix
        self._unchanged = Unchanged(path)
        try:
            self._parquet = pq.ParquetFile(path)
        except pa.ArrowInvalid as error:
            raise FormatError(f"not a Parquet file: {error}", path=path) from None
        self._schema: pa.Schema = self._parquet.schema_arrow
        self.columns = tuple(self._schema.names)
        self.skipped = {
            index: f"the type {column.type} has no text form"
            for index, column in enumerate(self._schema)
            if not _has_text(column.type)
        }
        groups = self._parquet.metadata.num_row_groups
        self.details = {"format": "Parquet", "row groups": str(groups)}

    def close(self) -> None:
        """Let go of the file."""
        self._parquet.close()

    def chunks(self, size: int = ROWS_PER_CHUNK) -> Iterator[RowChunk]:
        """Read all rows in order, at most `size` at a time; chunks cross the borders of row groups."""
        total = self._parquet.metadata.num_rows
        rows: list[tuple[Text, ...]] = []
        first = 0
        for batch in self._parquet.iter_batches(batch_size=size):
            texts = [self._texts(batch.column(index), index) for index in range(len(self.columns))]
            rows += zip(*texts, strict=True)
            while len(rows) >= size or (rows and first + len(rows) == total):
                part, rows = rows[:size], rows[size:]
                numbers = list(range(first, first + len(part)))
                first += len(part)
                yield RowChunk(part, numbers, fraction=first / total)

    def _texts(self, column: pa.Array, index: int) -> list[Text]:
        if index in self.skipped:
            return [None] * len(column)
        texts: list[Text] = _to_text(column).to_pylist()
        return texts

    def rewrite(self, edits: Iterable[CellEdit], sink: BinaryIO) -> Iterator[EditResult]:
        """Copy the table to `sink` with the edits made; see `TableFile.rewrite`."""
        queue = EditQueue(edits)
        row = 0
        with pq.ParquetWriter(sink, self._schema, compression=self._codecs()) as writer:
            for group in range(self._parquet.metadata.num_row_groups):
                table = self._parquet.read_row_group(group)
                wanted = list(queue.before(row + table.num_rows))
                results, table = self._edit_group(table, wanted, row)
                yield from results
                writer.write_table(table, row_group_size=max(1, table.num_rows))
                row += table.num_rows
        yield from queue.missing()
        self._unchanged.check()

    def _codecs(self) -> dict[str, str] | str:
        metadata = self._parquet.metadata
        if not metadata.num_row_groups:
            return "snappy"
        columns = [metadata.row_group(0).column(index) for index in range(metadata.num_columns)]
        return {
            column.path_in_schema: "none" if column.compression == "UNCOMPRESSED" else column.compression
            for column in columns
        }

    def _edit_group(self, table: pa.Table, edits: list[CellEdit], first: int) -> tuple[list[EditResult], pa.Table]:
        """Make the edits of one row group, column by column; results in the order of the edits."""
        results: dict[CellEdit, EditResult] = {}
        by_column: dict[int, list[CellEdit]] = defaultdict(list)
        for edit in edits:
            if edit.row < 0 or not 0 <= edit.column < len(self.columns):
                message = "the table has no such cell"
                results[edit] = EditResult(edit, problem=EditProblem.MISSING, message=message)
            else:
                by_column[edit.column].append(edit)
        for index, wanted in by_column.items():
            column, fates = self._edit_column(table.column(index).combine_chunks(), index, wanted, first)
            results.update((result.edit, result) for result in fates)
            if column is not None:
                table = table.set_column(index, self._schema.field(index), column)
        return [results[edit] for edit in edits], table

    def _edit_column(
        self, column: pa.Array, index: int, edits: list[CellEdit], first: int
    ) -> tuple[pa.Array | None, list[EditResult]]:
        kind = self._schema.field(index).type
        fates: list[EditResult] = []
        replaced: dict[int, pa.Scalar] = {}
        for edit in edits:
            place = edit.row - first
            if index in self.skipped:
                fates.append(EditResult(edit, problem=EditProblem.WRONG_TYPE, message=self.skipped[index]))
                continue
            if _to_text(column.slice(place, 1))[0].as_py() != edit.old:
                message = "the cell does not hold the expected old value"
                fates.append(EditResult(edit, problem=EditProblem.MISMATCH, message=message))
                continue
            scalar = _from_text(edit.new, kind) if edit.replace else None
            if edit.replace and scalar is None:
                message = f"the new value does not fit the type {kind}"
                fates.append(EditResult(edit, problem=EditProblem.WRONG_TYPE, message=message))
                continue
            if scalar is not None:
                replaced[place] = scalar
            fates.append(EditResult(edit))
        return (_replace(column, replaced) if replaced else None), fates


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _has_text(kind: pa.DataType) -> bool:
    kind = _value_type(kind)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return False  # these cast to strings of whatever bytes they hold
    try:
        pc.cast(pa.array([], type=kind), pa.string())
        return True
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return False


def _to_text(column: pa.Array) -> pa.Array:
    plain = pc.cast(column, _value_type(column.type)) if pa.types.is_dictionary(column.type) else column
    return pc.cast(plain, pa.string())


def _from_text(text: Text, kind: pa.DataType) -> pa.Scalar | None:
    """A value of type `kind` that reads as `text` or as the same number; None when there is none."""
    kind = _value_type(kind)
    try:
        return pc.cast(pa.scalar(text, pa.string()), kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeEncodeError):
        return None


def _replace(column: pa.Array, replaced: dict[int, pa.Scalar]) -> pa.Array:
    kind = column.type
    plain = pc.cast(column, _value_type(kind)) if pa.types.is_dictionary(kind) else column
    mask = pa.array([place in replaced for place in range(len(plain))], pa.bool_())
    values = pa.array([replaced[place].as_py() for place in sorted(replaced)], plain.type)
    changed = pc.replace_with_mask(plain, mask, values)
    return pc.cast(changed.dictionary_encode(), kind) if pa.types.is_dictionary(kind) else changed

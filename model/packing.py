"""`python -m model.packing`: a corpus folder as one small file, from which pretraining draws the same examples.

    python -m model.packing --corpus DIR --output corpus.parquet
    python -m model.pretraining --corpus corpus.parquet …

The file is Parquet: one row for each different column of the corpus, as its distinct values and a code for each
tuple. Which tables are made of which columns stands in the file's metadata. In memory it stays that way, in a few
buffers that forked workers share; only the window that an episode is drawn from becomes Python strings.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from model.corpus import TRAINING_SHARDS, VALIDATION_SHARD, CorpusTable, Table, corpus_folder, read_tables
from model.errors import InputError
from model.tuples import Relation, Value

MAX_ROWS = 65_535
"""Most rows of a packed table: a code is 16 bits wide."""

_LEVEL = 19
_TOLD = b"rpt_corpus"
_SCHEMA = pa.schema([("values", pa.list_(pa.binary())), ("codes", pa.list_(pa.uint16()))])


@dataclass(frozen=True, slots=True)
class PackedTable:
    """A `model.corpus.Table` whose values are decoded only where they are asked for."""

    table_id: str
    domain: str
    license: str
    attributes: tuple[str, ...]
    columns: tuple[int, ...]
    count: int
    store: _ColumnStore

    @property
    def repository(self) -> str:
        """Owner and repository, as in `CorpusTable`."""
        return self.table_id.split(":", 1)[0]

    def __len__(self) -> int:
        return self.count

    def part(self, tuple_ids: Sequence[int], attributes: Sequence[int]) -> Relation:
        """Some tuples and some attributes, in the order given."""
        names = [self.attributes[attribute] for attribute in attributes]
        chosen = np.asarray(tuple_ids, dtype=np.int64)
        columns = [self.store.read(self.columns[attribute], chosen) for attribute in attributes]
        return Relation.of(names, list(zip(*columns, strict=True)))


class _ColumnStore:
    """All different columns of a corpus in four buffers."""

    def __init__(self, columns: pa.Table) -> None:
        values, codes = (columns.column(name).combine_chunks() for name in ("values", "codes"))
        texts = values.values
        self._first_value = values.offsets.to_numpy()
        self._first_code = codes.offsets.to_numpy()
        self._codes = codes.values.to_numpy()
        _, ends, text = texts.buffers()
        self._ends = np.frombuffer(ends, dtype=np.int32)[texts.offset :]
        self._text = memoryview(text) if text is not None else memoryview(b"")
        self._missing = texts.is_null().to_numpy(zero_copy_only=False)

    def read(self, column: int, tuple_ids: np.ndarray) -> list[Value]:
        """The values of some tuples of one column."""
        codes = self._codes[self._first_code[column] + tuple_ids]
        used = np.unique(codes)
        places = self._first_value[column] + used
        starts, ends, missing = self._ends[places].tolist(), self._ends[places + 1].tolist(), self._missing[places]
        values: list[Value] = [
            None if absent else str(self._text[start:end], "utf-8", "surrogatepass")
            for start, end, absent in zip(starts, ends, missing.tolist(), strict=True)
        ]
        return [values[place] for place in np.searchsorted(used, codes).tolist()]


class _ColumnWriter:
    """Writes each different column once; gives its number."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[tuple[bytes | None, ...], bytes], int] = {}

    def number(self, column: Sequence[Value]) -> int:
        """The number of a column, which is kept if it is new."""
        known: dict[Value, int] = {}
        codes = np.fromiter((known.setdefault(value, len(known)) for value in column), np.uint16, len(column))
        values = tuple(None if value is None else value.encode("utf-8", "surrogatepass") for value in known)
        return self._numbers.setdefault((values, codes.tobytes()), len(self._numbers))

    def table(self) -> pa.Table:
        """All columns, by number."""
        codes = [np.frombuffer(coded, dtype=np.uint16) for _, coded in self._numbers]
        return pa.table([pa.array((values for values, _ in self._numbers), _SCHEMA[0].type),
                         pa.array(codes, _SCHEMA[1].type)], schema=_SCHEMA)  # fmt: skip


def write_packed(path: Path, training: Iterable[CorpusTable], validation: Iterable[CorpusTable], max_rows: int) -> None:
    """Write one packed corpus, whose tables were cut to `max_rows` rows."""
    writer = _ColumnWriter()
    parts = ((0, training), (1, validation))
    records = [_record(table, part, writer) for part, tables in parts for table in tables]
    told = zstandard.compress(json.dumps({"max_rows": max_rows, "tables": records}).encode(), _LEVEL)
    pq.write_table(
        writer.table().replace_schema_metadata({_TOLD: told}), path, compression="zstd", compression_level=_LEVEL,
        use_dictionary=["codes.list.element"], column_encoding={"values.list.element": "DELTA_LENGTH_BYTE_ARRAY"},
        data_page_size=1 << 23, row_group_size=1 << 20, write_statistics=False,
    )  # fmt: skip


def _record(table: CorpusTable, part: int, writer: _ColumnWriter) -> list[object]:
    relation = table.relation
    columns = [writer.number(relation.column(attribute)) for attribute in range(len(relation.attributes))]
    return [part, table.table_id, table.domain, table.license, len(relation), relation.attributes, columns]


def read_packed(path: Path, max_rows: int) -> tuple[list[PackedTable], list[PackedTable]]:
    """Training and validation tables of a packed corpus, in the order of the folder, each cut to `max_rows`.

    Raises:
        InputError: the file is no packed corpus, or its tables were cut to fewer rows.
    """
    try:
        columns = pq.ParquetFile(path).read(use_threads=False)  # no thread of Arrow's where workers are forked
        told = json.loads(zstandard.decompress((columns.schema.metadata or {})[_TOLD]))
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise InputError(f"{path.name} is no packed corpus", field="corpus") from error
    if max_rows > told["max_rows"]:
        raise InputError(f"{path.name} keeps {told['max_rows']} rows of a table, not {max_rows}", field="max_rows")
    store = _ColumnStore(columns)
    del columns
    pa.default_memory_pool().release_unused()  # decoding took three times what is kept
    tables: tuple[list[PackedTable], list[PackedTable]] = ([], [])
    for part, table_id, domain, license_name, count, names, numbers in told["tables"]:
        kept = min(count, max_rows)
        tables[part].append(PackedTable(table_id, domain, license_name, tuple(names), tuple(numbers), kept, store))
    return tables


def corpus_path(path: str | Path | None = None) -> Path:
    """A packed corpus where `path` is a file, else the corpus folder as `corpus_folder` finds it."""
    chosen = path or os.environ.get("RPT_CORPUS")
    return Path(chosen) if chosen and Path(chosen).is_file() else corpus_folder(path)


def read_training_tables(path: Path, max_rows: int) -> Sequence[Table]:
    """Training tables of a corpus folder or a packed corpus, each cut to `max_rows`."""
    if path.is_file():
        return read_packed(path, max_rows)[0]
    return [table for shard in TRAINING_SHARDS for table in read_tables(path / shard, max_rows)]


def read_corpus(path: Path, max_rows: int) -> tuple[Sequence[Table], Sequence[Table]]:
    """Training and validation tables of a corpus folder or a packed corpus, each cut to `max_rows`."""
    if path.is_file():
        return read_packed(path, max_rows)
    return read_training_tables(path, max_rows), list(read_tables(path / VALIDATION_SHARD, max_rows))


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; gives 0."""
    parser = argparse.ArgumentParser(prog="python -m model.packing", description="Pack a corpus folder into one file.")
    parser.add_argument("--corpus", help="folder of the corpus; default: RPT_CORPUS")
    parser.add_argument("--output", required=True, type=Path, help="file to write")
    parser.add_argument("--max-rows", type=int, default=600, help="rows kept of each table")
    options = parser.parse_args(argv)
    if not 1 <= options.max_rows <= MAX_ROWS:
        parser.error(f"--max-rows must be from 1 to {MAX_ROWS}")
    folder = corpus_folder(options.corpus)

    def tables(*shards: str) -> Iterator[CorpusTable]:
        return (table for shard in shards for table in read_tables(folder / shard, options.max_rows))

    write_packed(options.output, tables(*TRAINING_SHARDS), tables(VALIDATION_SHARD), options.max_rows)
    print(f"{options.output}: {options.output.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A packed corpus holds what its folder holds, value by value, and gives the same examples."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from model.config import CorruptionConfig, TrainingConfig
from model.corpus import TRAINING_SHARDS, VALIDATION_SHARD, CorpusTable, Table
from model.dataset import ExampleFactory, make_chunk
from model.errors import InputError
from model.packing import corpus_path, main, read_corpus, read_packed, read_training_tables, write_packed
from model.serialization import TupleSerializer
from model.tuples import Relation, Value
from tests.conftest import write_shard

TRAINING = TrainingConfig(seed=2, batch_tokens=1024, max_tokens=256, episodes_per_chunk=4, examples_per_episode=8)
STRANGE: list[tuple[Value, ...]] = [
    ("", None), (None, ""), ("\ud800", "x\x00y"), ("naïve", "日本 🙂"), (" ", "a" * 5000), ("", "0"),
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tables: list[CorpusTable], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus folder of the real form."""
    folder = tmp_path_factory.mktemp("corpus")
    for shard, members in zip((*TRAINING_SHARDS, VALIDATION_SHARD), (tables[:2], tables[2:4], tables[4:]), strict=True):
        write_shard(folder / shard, members)
    return folder


@pytest.fixture(scope="module")
def packed(folder: Path) -> Path:
    """The same corpus as one file, 50 rows a table."""
    path = folder / "corpus.parquet"
    assert main(["--corpus", str(folder), "--output", str(path), "--max-rows", "50"]) == 0
    return path


def contents(table: Table) -> tuple[object, ...]:
    """All that a table holds."""
    whole = table.part(range(len(table)), range(len(table.attributes)))
    return table.repository, table.license, table.attributes, whole.tuples


@pytest.mark.parametrize("max_rows", [50, 20])
def test_a_packed_corpus_holds_the_tables_of_its_folder(folder: Path, packed: Path, max_rows: int) -> None:
    for ours, theirs in zip(read_corpus(packed, max_rows), read_corpus(folder, max_rows), strict=True):
        assert [contents(table) for table in ours] == [contents(table) for table in theirs]
        assert len(ours) in (2, 4)
        assert {len(table) for table in ours} <= {max_rows, 2}
    assert [len(table) for table in read_training_tables(packed, max_rows)] == [max_rows] * 4
    assert [len(table) for table in read_training_tables(folder, max_rows)] == [max_rows] * 4


def test_a_packed_corpus_gives_the_same_examples(folder: Path, packed: Path, serializer: TupleSerializer) -> None:
    def chunks(path: Path) -> list[list[int | float]]:
        factory = ExampleFactory(read_training_tables(path, 50), serializer, TRAINING, CorruptionConfig())
        batches = [batch for number in range(4) for batch in make_chunk(factory, number)]
        encoded = [batch.encoder.ids.flatten().tolist() for batch in batches]
        return encoded + [part.tolist() for batch in batches for part in (batch.cell_wrong, batch.target_id)]

    assert chunks(packed) == chunks(folder)
    assert len(chunks(packed)) > 12


def test_every_value_comes_back_as_it_was(tmp_path: Path) -> None:
    relation = Relation.of(("one", "two"), STRANGE)
    path = tmp_path / "strange.parquet"
    write_packed(path, [CorpusTable("owner/repo:a", "other", "MIT", relation)], [], 600)
    (table,), validation = read_packed(path, 600)
    assert validation == []
    assert (table.table_id, table.domain, table.license, len(table)) == ("owner/repo:a", "other", "MIT", 6)
    assert table.part(range(6), range(2)).tuples == relation.tuples
    part = table.part([5, 2, 2], [1])
    assert (part.attributes, part.tuples) == (("two",), (("0",), ("x\x00y",), ("x\x00y",)))


def test_a_column_that_occurs_twice_is_kept_once(tables: list[CorpusTable], tmp_path: Path) -> None:
    path = tmp_path / "twice.parquet"
    again = CorpusTable("owner/other:people.csv", "people", "CC0-1.0", tables[0].relation)
    write_packed(path, [tables[0], again], [tables[0]], 600)
    assert pq.ParquetFile(path).metadata.num_rows == len(tables[0].attributes)
    training, validation = read_packed(path, 600)
    assert [contents(table) for table in training] == [contents(tables[0]), contents(again)]
    assert [contents(table) for table in validation] == [contents(tables[0])]


def test_more_rows_than_were_kept_are_refused(packed: Path) -> None:
    with pytest.raises(InputError, match="keeps 50 rows of a table, not 51"):
        read_packed(packed, 51)


def test_what_is_no_packed_corpus_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "corpus.parquet"
    path.write_text(json.dumps({}), encoding="utf-8")
    with pytest.raises(InputError, match="corpus.parquet is no packed corpus"):
        read_packed(path, 10)


@pytest.mark.parametrize("rows", ["0", "65536"])
def test_rows_that_no_code_can_count_are_refused(
    folder: Path, tmp_path: Path, rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--corpus", str(folder), "--output", str(tmp_path / "file"), "--max-rows", rows])
    assert "--max-rows must be from 1 to 65535" in capsys.readouterr().err


def test_a_corpus_is_a_file_or_a_folder(folder: Path, packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert corpus_path(packed) == packed
    assert corpus_path(folder) == folder
    monkeypatch.setenv("RPT_CORPUS", str(packed))
    assert corpus_path() == packed
    with pytest.raises(InputError, match="does not exist"):
        corpus_path(folder / "nowhere")

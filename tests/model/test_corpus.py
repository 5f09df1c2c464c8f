"""Corpus shards: JSON Lines in zstandard, read one table at a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import zstandard

from model.corpus import corpus_folder, read_tables
from model.errors import InputError


def _line(number: int, rows: int = 3) -> bytes:
    record = {
        "id": f"owner/repo{number}:file.csv",
        "license": "MIT",
        "domain": "geo",
        "columns": ["name", "place"],
        "rows": [[f"n{number}-{row}", "línea\u2028 two"] for row in range(rows)],
    }
    return (json.dumps(record, ensure_ascii=False) + "\n").encode()


@pytest.fixture()
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "train-00.jsonl.zst"
    path.write_bytes(zstandard.compress(b"".join(_line(number) for number in range(3))))
    return path


def test_tables_come_in_file_order_with_their_repository(shard: Path) -> None:
    tables = list(read_tables(shard))
    assert [table.table_id for table in tables] == [f"owner/repo{number}:file.csv" for number in range(3)]
    assert [table.repository for table in tables] == ["owner/repo0", "owner/repo1", "owner/repo2"]
    assert (tables[1].domain, tables[1].license) == ("geo", "MIT")
    assert tables[1].relation.attributes == ("name", "place")
    assert tables[1].relation.tuples[2] == ("n1-2", "línea\u2028 two")


def test_rows_and_tables_can_be_limited(shard: Path) -> None:
    tables = list(read_tables(shard, max_rows=2, limit=2))
    assert [len(table.relation) for table in tables] == [2, 2]


def test_a_shard_of_several_compressed_frames_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "shard.jsonl.zst"
    path.write_bytes(b"".join(zstandard.compress(_line(number)) for number in range(3)))
    assert len(list(read_tables(path))) == 3


def test_the_folder_is_the_argument_or_else_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RPT_CORPUS", str(tmp_path))
    assert corpus_folder() == tmp_path
    (tmp_path / "other").mkdir()
    assert corpus_folder(tmp_path / "other") == tmp_path / "other"


def test_no_folder_and_a_wrong_folder_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RPT_CORPUS", raising=False)
    with pytest.raises(InputError, match="RPT_CORPUS") as caught:
        corpus_folder()
    assert caught.value.field == "corpus"
    with pytest.raises(InputError, match="does not exist"):
        corpus_folder(tmp_path / "nowhere")

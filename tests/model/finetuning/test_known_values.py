"""Values are counted once for each repository, under the words of names that several repositories use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from model.corpus import CorpusTable
from model.errors import InputError
from model.finetuning.known_values import count_values, main
from model.known_values import KnownValues, value_key
from model.tuples import Relation
from tests.conftest import write_shard


def table(repository: str, name: str, *values: str) -> CorpusTable:
    return CorpusTable(f"{repository}:table.csv", "other", "MIT", Relation.of((name,), [(value,) for value in values]))


TABLES = [
    table("a/a", "Publisher Name", "Nintendo", "Nintendo", "Konami"),
    table("a/a", "publisher", "nintendo"),
    table("b/b", "publishers", "Nintendo", "12"),
    table("c/c", "publisher", "Capcom"),
    table("c/c", "brand", "Nintendo"),
]


def test_a_repository_counts_a_value_once() -> None:
    known = count_values(TABLES)
    assert known.words == ("publisher",)
    assert known.keys.tolist() == [value_key("Nintendo")]
    assert (known.totals.tolist(), known.starts.tolist(), known.counts.tolist()) == ([3], [0, 1], [2])
    assert known.share.tolist() == pytest.approx([4 / 5])  # Konami and Capcom stand under it, too


def test_the_order_of_tables_changes_nothing() -> None:
    known, turned = count_values(TABLES), count_values(reversed(TABLES))
    for name in ("words", "share", "keys", "totals", "starts", "places", "counts"):
        assert np.array_equal(getattr(known, name), getattr(turned, name))


def test_without_a_value_of_two_repositories_nothing_is_counted() -> None:
    for few in (TABLES[:1], []):
        with pytest.raises(InputError, match="enough repositories"):
            count_values(few)


def test_the_command_writes_the_file_of_the_checkpoint(tables: Sequence[CorpusTable], tmp_path: Path) -> None:
    for name in ("train-00.jsonl.zst", "train-01.jsonl.zst"):
        write_shard(tmp_path / name, tables)
    assert main(["--corpus", str(tmp_path), "--checkpoint", str(tmp_path)]) == 0
    assert "city" in KnownValues.load(tmp_path / "values.safetensors").words

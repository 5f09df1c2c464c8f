"""The model of names learns what values go with what words, and gives the same for the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from model.corpus import CorpusTable
from model.errors import InputError
from model.finetuning.naming import NamedColumn, main, named_columns, train
from model.naming import NameModel
from tests.conftest import write_shard


def test_words_of_few_repositories_are_not_learned(tables: Sequence[CorpusTable]) -> None:
    columns = [*named_columns(tables), NamedColumn("one/one", ("secret",), ("a", "b", "c"))]
    model = train(columns, steps=1)
    assert model.words == ("city", "id", "name", "phone", "state", "zip")
    with pytest.raises(InputError, match="three repositories"):
        train(columns[:6], steps=1)


def test_values_speak_for_the_words_they_were_seen_with(tables: Sequence[CorpusTable]) -> None:
    columns = list(named_columns(tables))
    model, again = train(columns, steps=40), train(columns, steps=40)
    for values, word in ((["Denver", "Chicago"], "city"), (["555-1234"], "phone"), (["Grace Hopper"], "name")):
        odds = model.log_odds(values)
        assert model.words[int(odds.argmax())] == word
        assert odds.tolist() == again.log_odds(values).tolist()


def test_the_command_writes_the_file_of_the_checkpoint(tables: Sequence[CorpusTable], tmp_path: Path) -> None:
    for name in ("train-00.jsonl.zst", "train-01.jsonl.zst"):
        write_shard(tmp_path / name, tables)
    assert main(["--corpus", str(tmp_path), "--checkpoint", str(tmp_path), "--steps", "1"]) == 0
    assert "city" in NameModel.load(tmp_path / "names.safetensors").words

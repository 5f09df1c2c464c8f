"""The calibrator of labels: every column is asked with its right label among others; other calibrators stay."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from model.checkpoint import Checkpoint, save_checkpoint
from model.corpus import CorpusTable
from model.finetuning.annotation import asked_columns, main
from model.finetuning.naming import named_columns, train
from model.inference.annotation import FEATURES
from model.inference.formats import accepted_kinds
from model.naming import name_words
from tests.conftest import write_shard


def test_the_right_label_is_among_others_that_share_no_word_with_it(tables: Sequence[CorpusTable]) -> None:
    asked = list(asked_columns(tables, 60))
    assert all(one.right in one.labels and len(one.labels) == len(set(one.labels)) > 1 for one in asked)
    for one in asked:
        if not accepted_kinds(name_words(one.right)):
            others = [label for label in one.labels if label != one.right]
            assert not any(set(name_words(one.right)) & set(name_words(label)) for label in others)
    hidden = sum(one.relation.attributes[one.attribute] == "" for one in asked)
    assert 30 < hidden < 58


def test_the_calibrator_is_added_and_the_others_stay(
    tables: Sequence[CorpusTable], checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = tmp_path / "tiny"
    tokenizer = checkpoint.serializer.tokenizer
    save_checkpoint(folder, checkpoint.denoiser, tokenizer, checkpoint.card, checkpoint.calibration)
    train(list(named_columns(tables)), steps=20).save(folder / "names.safetensors")
    write_shard(tmp_path / "valid.jsonl.zst", tables)
    before = json.loads((folder / "calibration.json").read_text())
    assert main(["--corpus", str(tmp_path), "--checkpoint", str(folder), "--columns", "40"]) == 0
    after = json.loads((folder / "calibration.json").read_text())
    added = after["calibrators"].pop("annotation")
    assert added != before["calibrators"].pop("annotation")
    assert after == before
    assert tuple(added["features"]) == FEATURES and any(added["coefficients"])

"""The calibrator of transformation: fitted to programs over tables, other calibrators untouched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from model.corpus import CorpusTable
from model.finetuning.transformation import main, shown_tasks
from model.inference.transformation import FEATURES
from tests.conftest import add_adapter, write_shard


def test_tasks_are_drawn_by_number_and_ask_for_no_example(
    tables: Sequence[CorpusTable], checkpoint: Checkpoint
) -> None:
    tasks = list(shown_tasks(tables, checkpoint, 40))
    assert tasks == list(shown_tasks(tables, checkpoint, 40))
    assert {len(one.examples) for one in tasks} >= {1, 2, 3}
    for one in tasks:
        assert one.examples and one.asked
        assert not {example.input for example in one.examples} & {asked.input for asked in one.asked}
    strangers = [asked for one in tasks for asked in one.asked if not asked.output]
    assert 1 <= len(strangers) <= 12 and all(asked.input for asked in strangers)
    assert all(one.asked[-1] in strangers for one in tasks if any(asked in strangers for asked in one.asked))
    numbers = [one for one in tasks if all(pair.input.split()[0].replace(".", "").isdigit() for pair in one.examples)]
    assert numbers


def test_the_calibrator_is_added_and_the_others_stay(
    tables: Sequence[CorpusTable], checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = tmp_path / "tiny"
    save_checkpoint(
        folder, checkpoint.denoiser, checkpoint.serializer.tokenizer, checkpoint.card, checkpoint.calibration
    )
    add_adapter(folder, load_checkpoint(folder, precision="float32").denoiser)
    write_shard(tmp_path / "valid.jsonl.zst", tables)
    before = json.loads((folder / "calibration.json").read_text())
    assert main(["--corpus", str(tmp_path), "--checkpoint", str(folder), "--tasks", "12"]) == 0
    after = json.loads((folder / "calibration.json").read_text())
    added = after["calibrators"].pop("transform")
    assert added != before["calibrators"].pop("transform")
    assert after == before
    assert tuple(added["features"]) == FEATURES and any(added["coefficients"])

"""Calibrators of columns are fitted to tables that were cut into two, and added to a checkpoint's others."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from model.calibration import Calibration
from model.checkpoint import Checkpoint, load_checkpoint
from model.corpus import CorpusTable
from model.errors import InputError
from model.finetuning.schema_matching import draw_cuts, draw_tables, fit, main, observe
from model.inference.schema_matching import MANY, NAMED_PAIRS, NAMES, PAIRS, VALUES, judge_pairs
from tests.conftest import write_shard


@pytest.fixture(scope="module")
def corpus(tables: list[CorpusTable], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training shards of three repositories each."""
    folder = tmp_path_factory.mktemp("corpus")
    write_shard(folder / "train-00.jsonl.zst", tables[:3])
    write_shard(folder / "train-01.jsonl.zst", tables[3:])
    return folder


def test_tables_are_drawn_by_repository_and_small_ones_are_left_out(corpus: Path) -> None:
    drawn = draw_tables(sorted(corpus.iterdir()))
    assert [[one.repository for one in held] for held in drawn] == [[f"owner/repo{number}"] for number in range(5)]


def test_fitted_probabilities_tell_columns_that_are_one_from_others(corpus: Path) -> None:
    observed = [observe(*one) for one in draw_cuts(draw_tables(sorted(corpus.iterdir())), 0)]
    assert len(observed) == 15
    calibrators = fit([one for one in observed if one.group < 4])
    assert set(calibrators) == {NAMES, VALUES, PAIRS, NAMED_PAIRS, PAIRS + MANY, NAMED_PAIRS + MANY}
    held_out = [one for one in observed if one.group == 4]
    judged = [judge_pairs(Calibration(calibrators), one.observed).confidences for one in held_out]
    true = np.concatenate([one[cut.truth > 0] for one, cut in zip(judged, held_out, strict=True)])
    false = np.concatenate([one[cut.truth == 0] for one, cut in zip(judged, held_out, strict=True)])
    assert true.mean() > 0.6 > 0.15 > false.mean()
    with pytest.raises(InputError, match="two repositories"):
        fit(held_out)


def test_the_command_adds_calibrators_and_leaves_the_others(
    corpus: Path, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(checkpoint.path, tmp_path / "checkpoint"))
    assert main(["--corpus", str(corpus), "--checkpoint", str(folder)]) == 0
    loaded = load_checkpoint(folder).calibration
    assert loaded is not None and checkpoint.calibration is not None
    assert set(loaded.calibrators) == set(checkpoint.calibration.calibrators)
    assert loaded[PAIRS] != checkpoint.calibration[PAIRS]
    assert loaded["repair"] == checkpoint.calibration["repair"]

"""The clock is read for all models on the same inputs, and ratios are of what was read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from model.checkpoint import Checkpoint
from model.compression.cutting import cut, save_cut
from model.compression.speed import JOBS, eight_bit, lines, main, make_batch, measure


@pytest.mark.parametrize("job", JOBS)
def test_all_models_are_timed_on_as_many_rows(job: str, checkpoint: Checkpoint, masks: dict[str, Tensor]) -> None:
    small = cut(checkpoint.denoiser, masks).eval()
    batch = make_batch(checkpoint, 3)
    assert len(batch.ids) == 3
    seconds = measure([checkpoint.denoiser, small, eight_bit(checkpoint.denoiser)], batch, job, 2)
    assert seconds.shape == (3, 2)
    assert bool((seconds > 0).all())


def test_eight_bits_say_nearly_the_same(checkpoint: Checkpoint) -> None:
    quantized = eight_bit(checkpoint.denoiser)
    assert any("quantized" in type(module).__module__ for module in quantized.modules())
    batch = make_batch(checkpoint, 4)
    with torch.inference_mode():
        before, after = checkpoint.denoiser.encode(batch), quantized.encode(batch)
    kept = batch.keep[:, :, None]
    assert float(((before - after) * kept).norm() / (before * kept).norm()) < 0.05
    assert not torch.equal(before, after)


def test_a_line_says_how_many_times_as_fast() -> None:
    found = lines(["dense", "small"], "read", 8, np.array([[2.0, 2.0], [1.0, 1.0]]))
    assert found == ["| read | 8 | dense | 4.0 / 4.0 | 1.00 / 1.00 |", "| read | 8 | small | 8.0 / 8.0 | 2.00 / 2.00 |"]


def test_the_command_times_every_model(
    checkpoint: Checkpoint, masks: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_cut(tmp_path / "cut", cut(checkpoint.denoiser, masks), checkpoint, {"method": "atp"})
    assert main([str(tmp_path / "cut"), "--model", str(checkpoint.path), "--eight-bit", "--seconds", "0.01"]) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[3:]]
    assert [row[2] for row in rows[:3]] == ["dense", "cut", "dense, 8 bits"]
    assert len(rows) == 2 * 3 * 3


@pytest.mark.parametrize("folders", [["a/cut", "b/cut"], ["a/dense"]])
def test_two_models_of_one_name_are_refused(folders: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(folders)
    assert "told apart by their names" in capsys.readouterr().err

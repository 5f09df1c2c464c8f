"""The clock is read for both models on the same inputs, and ratios are of what was read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from model.checkpoint import Checkpoint, load_checkpoint
from model.compression.cutting import cut, save_cut
from model.compression.speed import JOBS, line, make_batch, measure


@pytest.mark.parametrize("job", JOBS)
def test_both_models_are_timed_on_as_many_rows(
    job: str, checkpoint: Checkpoint, masks: dict[str, Tensor], tmp_path: Path
) -> None:
    save_cut(tmp_path / "cut", cut(checkpoint.denoiser, masks), checkpoint, {"method": "atp"})
    small = load_checkpoint(tmp_path / "cut", precision="float32")
    assert len(make_batch(checkpoint, 3).ids) == 3
    seconds = measure(checkpoint, small, 3, job, 2)
    assert seconds.shape == (2, 2)
    assert bool((seconds > 0).all())


def test_a_line_says_how_many_times_as_fast() -> None:
    assert line("read", 8, np.array([[2.0, 2.0], [1.0, 1.0]])) == "| read | 8 | 4.0 / 4.0 | 8.0 / 8.0 | 2.00 / 2.00 |"

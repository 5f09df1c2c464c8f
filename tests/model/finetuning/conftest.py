"""Labels of made-up products, and a checkpoint whose adapters can be trained further."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
import torch

from model.adapters import attach, save_adapter
from model.checkpoint import Checkpoint, load_checkpoint
from model.finetuning.labelled_texts import Label
from model.finetuning.low_rank import SHAPES

COLORS = ("red", "blue", "green", "black", "white")
THINGS = ("mug", "lamp", "chair", "shoe")


def copied(checkpoint: Checkpoint, folder: Path) -> Path:
    """A copy of a checkpoint's folder."""
    return Path(shutil.copytree(checkpoint.path, folder, dirs_exist_ok=True))


def color_labels(count: int = 90) -> list[Label]:
    """Texts that tell a color in four cases of five, and never a size."""
    rng = random.Random(3)
    labels = []
    for number in range(count):
        color = rng.choice(COLORS) if number % 5 else None
        text = f"{number} {color or 'plain'} {rng.choice(THINGS)}"
        labels += [Label(text, "color", color), Label(text, "size", None)]
    return labels


@pytest.fixture(scope="session")
def trainable(tmp_path_factory: pytest.TempPathFactory, checkpoint: Checkpoint) -> Checkpoint:
    """The tiny checkpoint with adapters of the real shapes that change nothing yet."""
    folder = copied(checkpoint, tmp_path_factory.mktemp("trainable") / "tiny")
    torch.manual_seed(0)
    for task in ("extract", "transform"):
        denoiser = load_checkpoint(folder, precision="float32").denoiser
        attach(denoiser, SHAPES[task])
        save_adapter(folder / "adapters" / f"{task}.safetensors", denoiser, {})
    return load_checkpoint(folder, precision="float32")

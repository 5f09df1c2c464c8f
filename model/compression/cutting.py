"""Removing units for good: smaller matrices, and a checkpoint folder that is read like any other.

The weights of kept units are copied as they are, so a cut model computes what the masked one did. Attention keeps the
scale of the uncut head width (`model.architecture.Attention`): to cut a dimension is then the same as to zero it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.adapters import FOLDER as ADAPTERS
from model.architecture import TupleDenoiser
from model.checkpoint import JUDGES_FILE, WORDS_FILE, Checkpoint, save_checkpoint
from model.compression.structures import Masks, Structure, cut_config, denoiser_structures, model_size
from model.known_values import FILE as VALUES_FILE
from model.naming import FILE as NAMES_FILE

_CARRIED = (JUDGES_FILE, WORDS_FILE, NAMES_FILE, VALUES_FILE)
"""Files that hold no weights of the denoiser: they go along as they are."""


@torch.no_grad()
def cut(denoiser: TupleDenoiser, masks: Masks) -> TupleDenoiser:
    """A smaller denoiser without the units whose mask is 0; the type of its weights is that of the given one.

    Raises:
        ValueError: a structure would lose all its units, or a mask has neither 0 nor 1.
    """
    weights = kept_weights(denoiser.state_dict(), denoiser_structures(denoiser.config), masks)
    smaller = TupleDenoiser(cut_config(denoiser.config, masks)).to(next(denoiser.parameters()).dtype)
    smaller.load_state_dict(weights, strict=True)
    return smaller.eval().requires_grad_(False)


def kept_weights(weights: Mapping[str, Tensor], structures: Sequence[Structure], masks: Masks) -> dict[str, Tensor]:
    """The weights of a network without the units whose mask is 0; linear maps may lack a bias.

    Raises:
        ValueError: as `cut`.
    """
    smaller = dict(weights)
    for structure in structures:
        mask = masks[structure.name]
        kept = mask == 1
        if not bool((kept | (mask == 0)).all()):
            raise ValueError(f"the mask of {structure.name} is not decided")
        if not bool(kept.any()):
            raise ValueError(f"{structure.name} would lose all its units")
        for side in structure.sides:
            weight, bias = f"{side.module}.weight", f"{side.module}.bias"
            places = side.expand(kept).nonzero().squeeze(1).to(smaller[weight].device)
            smaller[weight] = smaller[weight].index_select(0 if side.rows else 1, places)
            if side.rows and bias in smaller:
                smaller[bias] = smaller[bias].index_select(0, places)
    return smaller


def save_cut(folder: Path, denoiser: TupleDenoiser, dense: Checkpoint, story: dict[str, Any]) -> None:
    """Write a cut denoiser as a checkpoint folder, with what of the dense one still fits.

    Judges, word counts, the name model and known values go along. So do the calibrators, though they were fitted to the
    dense model; the card says so. Adapters are left out, as their changes have the dense shapes: tasks that need one
    are refused.

    Args:
        story: what the card says of the compression: method, kept share, steps, seed.
    """
    size, before = model_size(denoiser.config), model_size(dense.config)
    left_out = sorted(path.stem for path in (dense.path / ADAPTERS).glob("*.safetensors"))
    notes = [f"The adapters {', '.join(left_out)} fit the dense model only and are left out."] if left_out else []
    if dense.calibration is not None:
        notes.append("The calibrators are those of the dense model: probabilities were not fitted again.")
    compression = {
        **story,
        "size": size.record(),
        "dense": {"name": dense.name, "version": dense.version, "sha256": dense.sha256, "size": before.record()},
        "adapters_left_out": left_out,
    }
    limits = [*dense.card.get("limits", []), *notes]
    card = {**dense.card, "name": f"{dense.name}-{story['method']}", "limits": limits, "compression": compression}
    save_checkpoint(folder, denoiser, dense.serializer.tokenizer, card, dense.calibration)
    for name in _CARRIED:
        if (dense.path / name).is_file():
            shutil.copyfile(dense.path / name, folder / name)

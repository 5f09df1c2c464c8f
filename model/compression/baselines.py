"""What ATP is compared with: masks that are chosen once, before any tuning.

    random      the same share of every structure, drawn
    magnitude   the same share of every structure, the units with the largest weights (2-norm over a unit)
    taylor      over all structures, the units whose removal changes the loss most for what they cost, to first order
                (Molchanov et al. 2019, arXiv 1906.10771)

Tuned afterwards under its mask, `magnitude` is the usual two-stage method: prune once, then recover with LoRA.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import torch
from torch import Tensor

from model.architecture import TupleDenoiser
from model.compression.atp import OnLog, Pruned, Tuner, batches, task_loss
from model.compression.decisions import keep_best, keep_evenly
from model.compression.masking import MaskedDenoiser
from model.compression.structures import Masks, Structure, denoiser_structures, kept_share, linear
from model.dataset import ExampleSource

_TAYLOR_BATCHES = 8

Baseline = Callable[[TupleDenoiser, ExampleSource, float], dict[str, Tensor]]
"""Masks from a denoiser, examples and the share to keep; whatever is drawn follows from the examples' seed."""


def random_masks(denoiser: TupleDenoiser, source: ExampleSource, keep: float) -> dict[str, Tensor]:
    """The same share of every structure, drawn."""
    rng = torch.Generator().manual_seed(source.training.seed)
    structures = denoiser_structures(denoiser.config)
    return keep_evenly(structures, {one.name: torch.rand(one.units, generator=rng) for one in structures}, keep)


def magnitude_masks(denoiser: TupleDenoiser, source: ExampleSource, keep: float) -> dict[str, Tensor]:
    """The same share of every structure: its units with the largest 2-norm; the examples are not looked at."""
    structures = denoiser_structures(denoiser.config)
    return keep_evenly(structures, {one.name: unit_norms(denoiser, one) for one in structures}, keep)


@torch.no_grad()
def unit_norms(denoiser: TupleDenoiser, structure: Structure) -> Tensor:
    """The 2-norm of all weights and biases of each unit, (units,)."""
    squares = torch.zeros(structure.units)
    for side in structure.sides:
        module = linear(denoiser, side.module)
        here = module.weight.square().sum(1 if side.rows else 0)
        if side.rows:
            here = here + module.bias.square()
        squares += here.view(side.copies, structure.units).sum(0)
    return squares.sqrt()


def taylor_masks(denoiser: TupleDenoiser, source: ExampleSource, keep: float) -> dict[str, Tensor]:
    """The units of the largest importance for each parameter that they cost, over all structures."""
    masked = MaskedDenoiser(denoiser)
    masked.denoiser.requires_grad_(False)
    masks = {one.name: torch.ones(one.units, requires_grad=True) for one in masked.structures}
    scores = {one.name: torch.zeros(one.units) for one in masked.structures}
    for batch in islice(batches(source), _TAYLOR_BATCHES):
        masked.show(masks)
        gradients = torch.autograd.grad(task_loss(masked.denoiser, batch, source.training), list(masks.values()))
        for name, gradient in zip(masks, gradients, strict=True):
            scores[name] += gradient.abs()
    costs = {one.name: one.unit_parameters for one in masked.structures}
    return keep_best(masked.structures, {name: score / costs[name] for name, score in scores.items()}, keep)


BASELINES: dict[str, Baseline] = {"random": random_masks, "magnitude": magnitude_masks, "taylor": taylor_masks}


def recover(
    denoiser: TupleDenoiser, masks: Masks, tuning: ExampleSource, rank: int, on_log: OnLog | None = None
) -> Pruned:
    """Tune a copy under masks that stand, by the same low-rank changes as ATP; the second of two stages.

    The changes of removed units are zero all the time.
    """
    torch.manual_seed(tuning.training.seed)
    masked = MaskedDenoiser(denoiser.float(), rank)
    tuner = Tuner(masked, tuning)
    for number in range(tuning.training.steps):
        loss = tuner.step(number, masks)
        masked.shrink(masks, float("inf"))
        if on_log is not None:
            on_log({"step": number, "tuning_loss": loss})
    story = {"tuning_steps": tuning.training.steps, "kept_share": kept_share(masked.structures, masks).item()}
    return Pruned(masked.merged(), dict(masks), story)

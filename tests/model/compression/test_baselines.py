"""One-shot masks keep what they say they keep, and tuning under them leaves removed units out."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from model.architecture import TupleDenoiser
from model.compression.baselines import BASELINES, recover, taylor_masks, unit_norms
from model.compression.structures import denoiser_structures, kept_share, linear
from model.dataset import ExampleFactory


@pytest.mark.parametrize("name", BASELINES)
def test_masks_keep_the_wanted_share_and_are_the_same_again(
    name: str, denoiser: TupleDenoiser, source: ExampleFactory
) -> None:
    masks, again = (BASELINES[name](denoiser, source, 0.5) for _ in range(2))
    structures = denoiser_structures(denoiser.config)
    assert kept_share(structures, masks).item() == pytest.approx(0.5, rel=0.005)
    assert all(torch.equal(mask, again[key]) for key, mask in masks.items())


def test_the_norm_of_a_unit_is_over_all_its_weights_and_biases(denoiser: TupleDenoiser) -> None:
    made = copy.deepcopy(denoiser)
    structure = next(one for one in denoiser_structures(made.config) if one.name == "encoder.blocks.0.attention.value")
    linear(made, structure.sides[0].module).bias.normal_(generator=torch.Generator().manual_seed(0))
    value, out = (linear(made, side.module) for side in structure.sides)
    places = [3, 11, 19, 27]
    wanted = (
        value.weight[places].square().sum() + value.bias[places].square().sum() + out.weight[:, places].square().sum()
    )
    assert unit_norms(made, structure)[3].item() == pytest.approx(wanted.sqrt().item(), rel=1e-5)


def test_magnitude_keeps_the_units_of_the_largest_norm(denoiser: TupleDenoiser, source: ExampleFactory) -> None:
    masks = BASELINES["magnitude"](denoiser, source, 0.5)
    for structure in denoiser_structures(denoiser.config):
        norms, mask = unit_norms(denoiser, structure), masks[structure.name]
        assert float(norms[mask].min()) > float(norms[~mask].max())


def test_taylor_removes_units_that_do_nothing(denoiser: TupleDenoiser, source: ExampleFactory) -> None:
    made = copy.deepcopy(denoiser)
    linear(made, "encoder.blocks.1.feed_forward.outer").weight[:, [3, 17, 40]] = 0.0
    masks = taylor_masks(made, source, 0.9)
    assert not bool(masks["encoder.blocks.1.feed_forward"][[3, 17, 40]].any())


def test_tuning_after_cutting_never_uses_what_was_removed(
    denoiser: TupleDenoiser, source: ExampleFactory, masks: dict[str, Tensor]
) -> None:
    training = replace(source.training, steps=3, warmup_steps=0)
    tuning = ExampleFactory(source.tables, source.serializer, training, source.corruption)
    losses: list[dict[str, float]] = []
    pruned = recover(denoiser, masks, tuning, 4, losses.append)
    assert [record["step"] for record in losses] == [0, 1, 2]
    assert all(torch.equal(pruned.masks[name], mask) for name, mask in masks.items())
    name = "encoder.blocks.0.feed_forward"
    before, after = (linear(one, f"{name}.inner").weight for one in (denoiser, pruned.denoiser))
    off = ~masks[name]
    assert torch.equal(after[off], before[off])
    assert float((after - before)[masks[name]].abs().max()) > 1e-4

"""Masks switch units, low-rank changes are masked or not as ATP asks, and shrinking makes the two ways one."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from model.architecture import TupleDenoiser
from model.compression.masking import MaskedDenoiser
from model.compression.structures import full_masks, linear
from model.dataset import TrainingBatch


def outputs(denoiser: TupleDenoiser, batch: TrainingBatch) -> Tensor:
    with torch.no_grad():
        return denoiser.decode(denoiser.encode(batch.encoder), batch.encoder, batch.answers)


@pytest.fixture()
def masked(denoiser: TupleDenoiser) -> MaskedDenoiser:
    """With low-rank changes that are not zero."""
    torch.manual_seed(1)
    made = MaskedDenoiser(denoiser, rank=4)
    for name, parameter in made.denoiser.named_parameters():
        if name.endswith(".up"):
            parameter.data.normal_(std=0.1)
    return made


def test_full_masks_and_fresh_changes_are_the_dense_model(
    denoiser: TupleDenoiser, batches: list[TrainingBatch]
) -> None:
    torch.manual_seed(0)
    masked = MaskedDenoiser(denoiser, rank=4)
    for tuning in (False, True):
        masked.show(full_masks(masked.structures), tuning=tuning)
        assert torch.equal(outputs(masked.denoiser, batches[0]), outputs(denoiser, batches[0]))


def test_every_structure_alone_changes_the_output(
    denoiser: TupleDenoiser, batches: list[TrainingBatch], masks: dict[str, Tensor]
) -> None:
    masked, dense = MaskedDenoiser(denoiser), outputs(denoiser, batches[0])
    for structure in masked.structures:
        masked.show(full_masks(masked.structures) | {structure.name: masks[structure.name]})
        assert float((outputs(masked.denoiser, batches[0]) - dense).abs().max()) > 1e-3, structure.name


def test_a_change_is_masked_for_decisions_and_not_for_tuning(
    denoiser: TupleDenoiser, masked: MaskedDenoiser, masks: dict[str, Tensor]
) -> None:
    name = "encoder.blocks.0.feed_forward"
    before, inner = linear(denoiser, f"{name}.inner").weight, linear(masked.denoiser, f"{name}.inner")
    masked.show(None)
    change = inner.weight - before
    off = ~masks[name]
    assert float(change[off].detach().abs().max()) > 1e-3
    masked.show(masks)
    assert torch.equal(inner.weight[off], torch.zeros_like(inner.weight[off]))
    assert torch.equal(inner.bias[off], torch.zeros_like(inner.bias[off]))
    masked.show(masks, tuning=True)
    assert torch.allclose(inner.weight[off], change[off], atol=1e-6)
    assert torch.allclose(inner.weight[~off], (before + change)[~off])
    assert torch.equal(inner.bias[off], torch.zeros_like(inner.bias[off]))


def test_both_ways_differ_until_the_changes_of_removed_units_are_zero(
    masked: MaskedDenoiser, batches: list[TrainingBatch], masks: dict[str, Tensor]
) -> None:
    def gap() -> float:
        masked.show(masks, tuning=True)
        tuned = outputs(masked.denoiser, batches[0])
        masked.show(masks)
        return float((tuned - outputs(masked.denoiser, batches[0])).abs().max())

    assert gap() > 1e-2
    masked.shrink(masks, math.inf)
    assert gap() < 1e-5
    norms = masked.group_norms()
    assert all(
        bool((norms[name][~mask] == 0).all()) and float(norms[name][mask].min()) > 0 for name, mask in masks.items()
    )


def test_a_group_is_all_of_one_unit(masked: MaskedDenoiser) -> None:
    changes = {
        name: parameter.detach()
        for name, parameter in masked.denoiser.named_parameters()
        if name.endswith((".up", ".down"))
    }
    layer, heads, head = "encoder.blocks.1.attention", 4, 8
    chain = "parametrizations.weight.1"
    query, key = (changes[f"{layer}.{name}.{chain}.up"] for name in ("query", "key"))
    value, out = changes[f"{layer}.value.{chain}.up"], changes[f"{layer}.out.{chain.replace('1', '0')}.down"]
    places = [head * number + 5 for number in range(heads)]
    norms = masked.group_norms()
    expected = math.sqrt(sum(float(one[places].square().sum()) for one in (query, key)))
    assert norms[f"{layer}.query_key"][5].item() == pytest.approx(expected, rel=1e-5)
    expected = math.sqrt(float(value[places].square().sum()) + float(out[:, places].square().sum()))
    assert norms[f"{layer}.value"][5].item() == pytest.approx(expected, rel=1e-5)
    inner = changes[f"encoder.blocks.1.feed_forward.inner.{chain}.up"]
    outer = changes[f"encoder.blocks.1.feed_forward.outer.{chain.replace('1', '0')}.down"]
    expected = math.sqrt(float(inner[9].square().sum()) + float(outer[:, 9].square().sum()))
    assert norms["encoder.blocks.1.feed_forward"][9].item() == pytest.approx(expected, rel=1e-5)


def test_one_proximal_step_shortens_a_group_by_its_structures_share(
    masked: MaskedDenoiser, masks: dict[str, Tensor]
) -> None:
    before = masked.group_norms()
    removed = {name: int((~mask).sum()) for name, mask in masks.items()}
    masked.shrink(masks, 1.0)
    after = masked.group_norms()
    for name, mask in masks.items():
        step = removed[name] / sum(removed.values())
        assert torch.allclose(after[name][mask], before[name][mask])
        assert torch.allclose(after[name][~mask], (before[name][~mask] - step).clamp_min(0), atol=1e-6)


def test_merging_adds_the_changes_and_leaves_a_plain_model(
    masked: MaskedDenoiser, batches: list[TrainingBatch]
) -> None:
    masked.show(None)
    changed = outputs(masked.denoiser, batches[0])
    plain = masked.merged()
    assert [name for name, _ in plain.named_parameters() if "parametrizations" in name] == []
    assert torch.equal(outputs(plain, batches[0]), changed)


def test_soft_masks_get_a_gradient_and_frozen_weights_none(
    masked: MaskedDenoiser, batches: list[TrainingBatch]
) -> None:
    soft = {one.name: torch.full((one.units,), 0.9, requires_grad=True) for one in masked.structures}
    masked.denoiser.requires_grad_(False)
    masked.show(soft)
    states = masked.denoiser.encode(batches[0].encoder)
    masked.denoiser.decode(states, batches[0].encoder, batches[0].answers).square().sum().backward()  # type: ignore[no-untyped-call]
    for name, mask in soft.items():
        assert mask.grad is not None and float(mask.grad.abs().min()) > 0, name

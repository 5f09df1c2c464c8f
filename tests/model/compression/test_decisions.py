"""Decisions start with everything kept, every weight of the generator learns, and masks meet their size."""

from __future__ import annotations

import pytest
import torch

from model.compression.decisions import DecisionGenerator, LogitTable, draw_decisions, keep_best, keep_evenly
from model.compression.structures import denoiser_structures, kept_share
from model.config import ModelConfig

STRUCTURES = denoiser_structures(ModelConfig())


@pytest.mark.parametrize("make", [DecisionGenerator, LogitTable])
def test_the_first_decisions_keep_everything(make: type[DecisionGenerator] | type[LogitTable]) -> None:
    torch.manual_seed(0)
    soft = draw_decisions(make(STRUCTURES)(), torch.Generator().manual_seed(0))
    assert soft.keys() == {one.name for one in STRUCTURES}
    assert all(one.units == len(soft[one.name]) for one in STRUCTURES)
    assert min(float(one.detach().min()) for one in soft.values()) >= 0.5


def test_vectors_of_layers_are_orthogonal_and_never_trained() -> None:
    torch.manual_seed(0)
    generator = DecisionGenerator(STRUCTURES)
    assert torch.allclose(generator.vectors @ generator.vectors.T, torch.eye(9), atol=1e-5)
    assert "vectors" not in dict(generator.named_parameters())


def test_every_weight_of_the_generator_has_a_gradient_at_the_first_step() -> None:
    torch.manual_seed(0)
    generator = DecisionGenerator(STRUCTURES)
    soft = draw_decisions(generator(), torch.Generator().manual_seed(0))
    kept_share(STRUCTURES, soft).backward()  # type: ignore[no-untyped-call]
    dead = [
        name
        for name, parameter in generator.named_parameters()
        if parameter.grad is None or not bool(parameter.grad.any())
    ]
    assert dead == []


@pytest.mark.parametrize("share", [0.2, 0.5, 0.6, 0.8, 1.0])
@pytest.mark.parametrize("keep", [keep_best, keep_evenly])
def test_the_target_is_met_within_half_a_percent(keep: type[object], share: float) -> None:
    rng = torch.Generator().manual_seed(1)
    scores = {one.name: torch.randn(one.units, generator=rng) for one in STRUCTURES}
    masks = keep(STRUCTURES, scores, share)  # type: ignore[call-arg]
    assert float(kept_share(STRUCTURES, masks)) == pytest.approx(share, rel=0.005)  # type: ignore[arg-type]


def test_the_best_units_of_all_structures_stay() -> None:
    rng = torch.Generator().manual_seed(1)
    scores = {one.name: torch.randn(one.units, generator=rng) for one in STRUCTURES}
    masks = keep_best(STRUCTURES, scores, 0.5)
    worst_kept = min(float(scores[name][mask].min()) for name, mask in masks.items())
    best_removed = max(float(scores[name][~mask].max()) for name, mask in masks.items())
    assert worst_kept > best_removed


def test_even_masks_keep_the_same_share_of_every_structure() -> None:
    rng = torch.Generator().manual_seed(1)
    scores = {one.name: torch.randn(one.units, generator=rng) for one in STRUCTURES}
    masks = keep_evenly(STRUCTURES, scores, 0.5)
    assert {round(float(mask.double().mean()), 1) for mask in masks.values()} == {0.5}
    for name, mask in masks.items():
        assert float(scores[name][mask].min()) > float(scores[name][~mask].max())


def test_a_structure_keeps_its_best_unit_whatever_its_score() -> None:
    scores = {one.name: torch.zeros(one.units) for one in STRUCTURES}
    name = STRUCTURES[0].name
    scores[name] = torch.arange(-100.0, -68.0)
    assert keep_best(STRUCTURES, scores, 0.5)[name].nonzero().tolist() == [[31]]


@pytest.mark.parametrize("share", [0.0, 1.1, 0.001])
def test_impossible_shares_are_refused(share: float) -> None:
    scores = {one.name: torch.zeros(one.units) for one in STRUCTURES}
    with pytest.raises(ValueError, match="kept share"):
        keep_best(STRUCTURES, scores, share)

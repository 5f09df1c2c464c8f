"""The generator of experts: where it starts, what it learns through, and that a seed makes it again."""

from __future__ import annotations

import pytest
import torch

from model.compression.expert_generator import ExpertGenerator
from model.compression.structures import Kind, Structure, denoiser_structures
from model.config import ModelConfig


@pytest.fixture
def structures(config: ModelConfig) -> tuple[Structure, ...]:
    return tuple(one for one in denoiser_structures(config) if one.kind is not Kind.VALUE)


def make(structures: tuple[Structure, ...], seed: int = 0) -> ExpertGenerator:
    return ExpertGenerator(structures, 8, torch.Generator().manual_seed(seed))


def test_a_feed_forward_block_has_a_row_for_each_expert_and_queries_one_for_all(
    structures: tuple[Structure, ...],
) -> None:
    logits = make(structures)()
    assert list(logits) == [one.name for one in structures]
    assert logits["encoder.blocks.1.feed_forward"].shape == (8, 64)
    assert logits["decoder.blocks.0.cross_attention.query_key"].shape == (1, 8)
    blocks = [one.name for one in structures if one.kind is Kind.FEED_FORWARD]
    assert all(bool((logits[name][0] != logits[name][1]).any()) for name in blocks)


def test_training_starts_from_the_dense_model(structures: tuple[Structure, ...]) -> None:
    masks = make(structures).draw(torch.Generator().manual_seed(1))
    assert all(bool((mask == 1).all()) for mask in masks.values())


def test_inputs_are_frozen_and_all_else_has_a_gradient(structures: tuple[Structure, ...]) -> None:
    generator = make(structures)
    sum(mask.sum() for mask in generator.draw(torch.Generator().manual_seed(1)).values()).backward()  # type: ignore[union-attr]
    assert "inputs" not in dict(generator.named_parameters())
    without = [name for name, one in generator.named_parameters() if one.grad is None or not bool(one.grad.any())]
    assert without == []


def test_a_layer_knows_of_the_others(structures: tuple[Structure, ...]) -> None:
    generator = make(structures)
    before = generator()
    generator.inputs[-1] += 1.0
    after = generator()
    first = structures[0].name
    assert not torch.equal(before[first], after[first])


def test_a_seed_makes_it_again(structures: tuple[Structure, ...]) -> None:
    first, second, other = make(structures), make(structures), make(structures, 5)
    name = structures[1].name
    assert torch.equal(first()[name], second()[name])
    assert not torch.equal(first()[name], other()[name])

"""One description of the prunable units: it covers the weights it should, and counts what the file holds."""

from __future__ import annotations

import pytest
import torch

from model.architecture import TupleDenoiser
from model.compression.structures import (
    Kind,
    cut_config,
    denoiser_structures,
    full_masks,
    kept_parameters,
    kept_share,
    linear,
    model_size,
    prunable_parameters,
)
from model.config import BlockSizes, ModelConfig

CUT = ModelConfig(
    vocabulary_size=400,
    width=32,
    heads=4,
    feed_forward=64,
    encoder_layers=2,
    decoder_layers=1,
    encoder_sizes=(BlockSizes(3, 5, 17), BlockSizes(8, 1, 64)),
    decoder_sizes=(BlockSizes(2, 6, 9, 4, 7),),
)


def test_a_layer_has_one_structure_for_each_kind_of_unit() -> None:
    structures = denoiser_structures(ModelConfig())
    assert len(structures) == 6 * 3 + 3 * 5
    assert [(one.name, one.units) for one in structures[-5:]] == [
        ("decoder.blocks.2.attention.query_key", 32),
        ("decoder.blocks.2.attention.value", 32),
        ("decoder.blocks.2.cross_attention.query_key", 32),
        ("decoder.blocks.2.cross_attention.value", 32),
        ("decoder.blocks.2.feed_forward", 1024),
    ]
    assert {one.kind for one in structures[-5:]} == set(Kind)


@pytest.mark.parametrize("config", [ModelConfig(), CUT], ids=["dense", "cut"])
def test_sizes_by_config_are_those_of_the_network(config: ModelConfig) -> None:
    denoiser = TupleDenoiser(config)
    structures = denoiser_structures(config)
    assert model_size(config).stored == sum(parameter.numel() for parameter in denoiser.parameters())
    prunable = 0
    for structure in structures:
        here = 0
        for side in structure.sides:
            module = linear(denoiser, side.module)
            assert module.weight.shape[0 if side.rows else 1] == structure.units * side.copies
            here += module.weight.numel() + (module.out_features if side.rows else 0)
        assert here == structure.units * structure.unit_parameters
        prunable += here
    assert prunable == prunable_parameters(structures) == model_size(config).prunable


def test_flops_are_two_for_each_weight_a_token_goes_through() -> None:
    size, denoiser = model_size(CUT), TupleDenoiser(CUT)
    weights = {name: parameter.numel() for name, parameter in denoiser.named_parameters() if parameter.ndim == 2}
    read = sum(
        number
        for name, number in weights.items()
        if name.startswith("encoder.blocks") or "cross_attention.key" in name or "cross_attention.value" in name
    )
    assert size.encoder_flops == 2 * (read + weights["decoder.copy_key.weight"])
    written = sum(number for name, number in weights.items() if name.startswith("decoder")) - (
        sum(
            number
            for name, number in weights.items()
            if "cross_attention.key" in name or "cross_attention.value" in name
        )
        + weights["decoder.copy_key.weight"]
    )
    assert size.decoder_flops == 2 * (written + weights["encoder.tokens.weight"])


def test_masks_count_what_the_cut_config_keeps() -> None:
    config = ModelConfig()
    structures = denoiser_structures(config)
    generator = torch.Generator().manual_seed(0)
    masks = {one.name: torch.rand(one.units, generator=generator) > 0.4 for one in structures}
    smaller = cut_config(config, masks)
    assert int(kept_parameters(structures, masks)) == model_size(smaller).prunable < model_size(config).prunable
    assert model_size(config).stored - model_size(smaller).stored == (
        model_size(config).prunable - model_size(smaller).prunable
    )
    assert float(kept_share(structures, full_masks(structures))) == 1.0
    assert cut_config(config, full_masks(structures)).blocks_of_encoder == config.blocks_of_encoder


def test_a_share_of_soft_masks_has_the_gradient_of_the_units_cost() -> None:
    structures = denoiser_structures(CUT)
    masks = {one.name: torch.full((one.units,), 0.5, requires_grad=True) for one in structures}
    share = kept_share(structures, masks)
    share.backward()  # type: ignore[no-untyped-call]
    assert share.item() == pytest.approx(0.5)
    for one in structures:
        gradient = masks[one.name].grad
        assert gradient is not None
        assert gradient[0].item() == pytest.approx(one.unit_parameters / prunable_parameters(structures))


def test_units_stand_once_for_each_head() -> None:
    structure = denoiser_structures(CUT)[0]
    mask = torch.tensor([True, False, True])
    assert structure.sides[0].expand(mask).tolist() == [True, False, True] * 4


@pytest.mark.parametrize(
    "sizes",
    [
        {"encoder_sizes": (BlockSizes(3, 5, 17),)},
        {"encoder_sizes": (BlockSizes(3, 5, 17), BlockSizes(0, 5, 17))},
        {"decoder_sizes": (BlockSizes(3, 5, 17),)},
    ],
)
def test_impossible_sizes_are_refused(sizes: dict[str, tuple[BlockSizes, ...]]) -> None:
    with pytest.raises(ValueError, match="block sizes"):
        ModelConfig(width=32, heads=4, feed_forward=64, encoder_layers=2, decoder_layers=1, **sizes)  # type: ignore[arg-type]

"""From masks to a smaller model: channels that no expert uses are removed, the others stored once, experts as lists.

The result is a denoiser like any other: its config names the experts, its weights are loaded strictly, and it is saved
and served as the dense one is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from model.architecture import TupleDenoiser
from model.compression.cutting import cut
from model.compression.expert_training import OnStep, ToMoEConfig
from model.compression.structures import Kind, denoiser_structures
from model.compression.tomoe import ToMoE
from model.config import BlockSizes, ModelConfig
from model.dataset import TrainingBatch


def make_experts(
    dense: TupleDenoiser, batches: Iterable[TrainingBatch], config: ToMoEConfig, on_step: OnStep | None = None
) -> TupleDenoiser:
    """Train generator and routers, a step on every batch, and export; `dense` is left as it is.

    Raises:
        ValueError: as `export`.
    """
    tomoe = ToMoE(dense, config)
    tomoe.train(batches, on_step)
    return export(dense, tomoe.decide(), tomoe.gates.routers())


@torch.no_grad()
def export(dense: TupleDenoiser, masks: Mapping[str, Tensor], routers: Mapping[str, Tensor]) -> TupleDenoiser:
    """The denoiser that reads each token with one expert of every feed-forward block.

    Args:
        dense: weights of all channels; its type is kept.
        masks: by structure, (experts, units) of a feed-forward block and (1, units) of what is cut for all tokens, each
            0 or 1; what has none stays whole.
        routers: by feed-forward block, (experts, width); rounded to the 16 bits that a checkpoint holds, so that what
            is loaded is what was saved.

    Raises:
        ValueError: an expert has no channels, or the denoiser has experts already.
    """
    blocks = [one.name for one in denoiser_structures(dense.config) if one.kind is Kind.FEED_FORWARD]
    if any(block.experts for block in dense.config.blocks_of_encoder + dense.config.blocks_of_decoder):
        raise ValueError("the denoiser has experts already")
    unions = {one.name: torch.ones(one.units, dtype=torch.bool) for one in denoiser_structures(dense.config)}
    unions |= {name: mask.bool().any(0) for name, mask in masks.items()}
    smaller = cut(dense, unions)
    sizes = {name: tuple(masks[name].bool().sum(1).tolist()) for name in blocks}
    for name, widths in sizes.items():
        if min(widths) < 1:
            raise ValueError(f"an expert of {name} has no channels")
    routed = TupleDenoiser(with_experts(smaller.config, sizes)).to(next(dense.parameters()).dtype)
    weights = dict(smaller.state_dict())
    for name in blocks:
        weights[f"{name}.router"] = routers[name].detach().half().to(weights[f"{name}.inner.weight"].dtype)
        weights[f"{name}.members"] = members(masks[name].bool())
    routed.load_state_dict(weights, strict=True)
    return routed.eval().requires_grad_(False)


def members(masks: Tensor) -> Tensor:
    """Places of each expert's channels in the union, expert after expert, int32; `masks` (experts, channels) bool."""
    places = masks.any(0).cumsum(0) - 1
    return torch.cat([places[mask] for mask in masks]).int()


def with_experts(config: ModelConfig, sizes: Mapping[str, tuple[int, ...]]) -> ModelConfig:
    """The config with experts of given widths, by the name of the feed-forward block."""

    def blocks(part: str, of: tuple[BlockSizes, ...]) -> tuple[BlockSizes, ...]:
        named = (f"{part}.blocks.{number}.feed_forward" for number in range(len(of)))
        return tuple(replace(block, experts=sizes[name]) for block, name in zip(of, named, strict=True))

    return replace(
        config,
        encoder_sizes=blocks("encoder", config.blocks_of_encoder),
        decoder_sizes=blocks("decoder", config.blocks_of_decoder),
    )

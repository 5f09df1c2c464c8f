"""The rule that follows from a table of ratios; the ratios themselves are the machine's business."""

from __future__ import annotations

import sys

import torch

from model.architecture import TupleDenoiser
from model.compression.expert_export import export
from model.compression.expert_speed import SpeedRow, crossover_of, measure, pairs_of, set_crossover, to_markdown
from model.compression.expert_training import ToMoEConfig
from model.compression.experts import Crossover, ExpertFeedForward
from model.compression.tomoe import ToMoE


def rows(*packed: float) -> list[SpeedRow]:
    return [SpeedRow(tokens, 1.0, ratio) for tokens, ratio in zip((1, 8, 64, 512), packed, strict=True)]


def test_packed_copies_are_taken_where_they_were_faster_without_a_gap() -> None:
    assert crossover_of(rows(0.5, 3.0, 2.0, 0.9)) == Crossover(1, 512)
    assert crossover_of(rows(0.5, 0.9, 2.0, 1.1)) == Crossover(8, sys.maxsize)
    assert crossover_of(rows(1.5, 2.0, 0.9, 0.5)) == Crossover(0, 64)
    assert crossover_of(rows(1.5, 0.5, 0.9, 1.5)) == Crossover(0, sys.maxsize)


def test_packed_copies_always_or_never() -> None:
    always, never = crossover_of(rows(0.5, 0.5, 0.5, 0.5)), crossover_of(rows(2.0, 2.0, 2.0, 2.0))
    assert all(always.packed(tokens) and not never.packed(tokens) for tokens in (1, 5, 64, 10_000))


def test_every_block_is_measured_against_the_one_it_was_made_of(denoiser: TupleDenoiser) -> None:
    tomoe = ToMoE(denoiser, ToMoEConfig(experts=2))
    routed = export(denoiser, tomoe.decide(), tomoe.gates.routers())
    pairs = pairs_of(denoiser, routed)
    assert len(pairs) == 4
    assert pairs[3][0] is denoiser.decoder.blocks[1].feed_forward
    found = measure(pairs, lambda count: torch.ones(count, 32), (1, 3), rounds=1)
    assert [row.tokens for row in found] == [1, 3]
    assert all(row.masked > 0 and row.packed > 0 for row in found)
    assert to_markdown([SpeedRow(8, 0.504, 2.0)]).splitlines()[2] == "| 8 | 1 | 0.50 | 2.00 |"


def test_a_rule_is_set_on_every_block(denoiser: TupleDenoiser) -> None:
    tomoe = ToMoE(denoiser, ToMoEConfig(experts=2))
    routed = export(denoiser, tomoe.decide(), tomoe.gates.routers())
    set_crossover(routed, Crossover(3, 4))
    blocks = [one for one in routed.modules() if isinstance(one, ExpertFeedForward)]
    assert len(blocks) == 4 and all(block.crossover == Crossover(3, 4) for block in blocks)

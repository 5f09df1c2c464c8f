"""Training of experts: gradients arrive, the budget is met in whole units, and what is of no use is found."""

from __future__ import annotations

import copy

import pytest
import torch

from model.architecture import TupleDenoiser
from model.compression.expert_training import ToMoEConfig, active_parameters
from model.compression.structures import denoiser_structures, prunable_parameters
from model.compression.tomoe import ToMoE, outputs
from model.dataset import TrainingBatch

BLOCK = "encoder.blocks.0.feed_forward"


def test_the_first_step_is_dense_and_gradients_reach_generator_and_routers(
    denoiser: TupleDenoiser, batches: list[TrainingBatch]
) -> None:
    tomoe = ToMoE(denoiser, ToMoEConfig(experts=4))
    losses = tomoe.losses(batches[0])
    assert float(losses["divergence"].detach()) == pytest.approx(0.0, abs=1e-6)
    assert float(losses["budget"].detach()) == pytest.approx(0.5101, abs=1e-3)  # log(1.001 / 0.601)
    assert float(losses["union"].detach()) == 0.0
    tomoe.total(losses).backward()  # type: ignore[no-untyped-call]
    learned = [*tomoe.generator.parameters(), *tomoe.gates.routers().values()]
    assert all(one.grad is not None and bool(one.grad.any()) for one in learned)
    assert all(one.grad is None for name, one in tomoe.gates.denoiser.named_parameters() if "router" not in name)


def test_the_total_is_the_weighted_sum_and_leaves_out_what_has_no_label(denoiser: TupleDenoiser) -> None:
    tomoe = ToMoE(denoiser, ToMoEConfig())
    losses = {name: torch.tensor(1.0) for name in ("divergence", "detection", "budget", "union", "balance")}
    assert float(tomoe.total(losses)) == 2 + 1 + 16 + 3 + 0.125
    assert float(tomoe.total({**losses, "detection": torch.tensor(float("nan"))})) == 2 + 16 + 3 + 0.125


def test_every_token_of_the_decoder_that_is_not_padding_is_compared(
    denoiser: TupleDenoiser, batches: list[TrainingBatch]
) -> None:
    batch = batches[0]
    found = outputs(denoiser, batch)
    assert len(found.tokens) == int((batch.answers.segments != 0).sum())
    assert torch.allclose(found.tokens.exp().sum(1), torch.ones(len(found.tokens)), atol=1e-4)
    states = denoiser.encode(batch.encoder)
    hidden = denoiser.decode(states, batch.encoder, batch.answers)
    whole = denoiser.next_token_log_probabilities(hidden, denoiser.copy_keys(states, batch.encoder), batch.encoder)
    assert torch.allclose(found.tokens, whole[batch.target_example, batch.target_index], atol=1e-4)


def test_active_parameters_are_those_of_the_widest_expert(denoiser: TupleDenoiser) -> None:
    structures = denoiser_structures(denoiser.config)
    masks = {one.name: torch.ones(1, one.units) for one in structures}
    assert float(active_parameters(structures, masks)) == prunable_parameters(structures)
    experts = torch.zeros(2, 64)
    experts[0, :10], experts[1, 5:40] = 1, 1
    masks[BLOCK] = experts
    assert float(active_parameters(structures, masks)) == prunable_parameters(structures) - (64 - 35) * (2 * 32 + 1)
    del masks["encoder.blocks.0.attention.value"]  # what has no mask is whole
    assert float(active_parameters(structures, masks)) == prunable_parameters(structures) - (64 - 35) * (2 * 32 + 1)


@pytest.mark.parametrize("active", [0.8, 0.6])
def test_decided_masks_meet_the_budget_in_whole_units_and_again_the_same(
    denoiser: TupleDenoiser, active: float
) -> None:
    tomoe = ToMoE(denoiser, ToMoEConfig(active=active, experts=4))
    masks = tomoe.decide()
    one_unit = max(one.unit_parameters for one in tomoe.structures) / prunable_parameters(tomoe.structures)
    assert active - one_unit < float(tomoe.active_share(masks)) <= active
    assert all(torch.equal(mask, again) for mask, again in zip(masks.values(), tomoe.decide().values(), strict=True))
    assert all(bool(mask.any(1).all()) for mask in masks.values())


def test_an_expert_never_loses_its_last_channel(denoiser: TupleDenoiser) -> None:
    masks = ToMoE(denoiser, ToMoEConfig(active=0.01)).decide()
    assert all(mask.sum(1).tolist() == [1] * len(mask) for mask in masks.values())


def test_planted_useless_channels_are_found(denoiser: TupleDenoiser, batches: list[TrainingBatch]) -> None:
    planted = copy.deepcopy(denoiser)
    blocks = [*planted.encoder.blocks, *planted.decoder.blocks]
    for block in blocks:
        block.feed_forward.outer.weight[:, ::2] = 0
    config = ToMoEConfig(0.6, 2, learning_rate=2e-2, divergence_weight=8.0, budget_weight=4.0, union_weight=0.0)
    tomoe = ToMoE(planted, config)
    tomoe.train(batches[:2] * 20)
    masks = tomoe.decide()
    useless = torch.stack([masks[name][:, ::2].float().mean() for name in tomoe.gates.blocks]).mean()
    useful = torch.stack([masks[name][:, 1::2].float().mean() for name in tomoe.gates.blocks]).mean()
    assert float(useful) > float(useless) + 0.2


def test_given_experts_are_kept_and_only_routers_learn(denoiser: TupleDenoiser, batches: list[TrainingBatch]) -> None:
    masks = {name: mask.float() for name, mask in ToMoE(denoiser, ToMoEConfig(experts=2)).decide().items()}
    tomoe = ToMoE(denoiser, ToMoEConfig(experts=2, learning_rate=0.1), fixed=masks)
    before = {name: router.detach().clone() for name, router in tomoe.gates.routers().items()}
    tomoe.step(batches[0])
    assert all(torch.equal(mask.float(), masks[name]) for name, mask in tomoe.decide().items())
    assert all(not torch.equal(router, before[name]) for name, router in tomoe.gates.routers().items())

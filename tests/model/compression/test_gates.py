"""A denoiser under masks: dense without them, the same with all units on, and deaf to padding."""

from __future__ import annotations

import pytest
import torch

from model.architecture import TupleDenoiser
from model.compression.expert_losses import balance_loss
from model.compression.gates import GatedDenoiser, choose
from model.compression.structures import Kind, denoiser_structures, linear
from model.compression.tomoe import outputs
from model.dataset import TrainingBatch

EXPERTS = 3


@pytest.fixture
def gates(denoiser: TupleDenoiser) -> GatedDenoiser:
    structures = tuple(one for one in denoiser_structures(denoiser.config) if one.kind is not Kind.VALUE)
    return GatedDenoiser(denoiser, structures, EXPERTS, torch.Generator().manual_seed(0))


def all_on(gates: GatedDenoiser) -> dict[str, torch.Tensor]:
    blocks = {name: torch.ones(EXPERTS, block.dense.inner.out_features) for name, block in gates.blocks.items()}
    return blocks | {name: torch.ones(1, 8) for name in gates.queries}


def test_it_is_dense_outside_and_with_every_unit_on(
    gates: GatedDenoiser, denoiser: TupleDenoiser, batches: list[TrainingBatch]
) -> None:
    wanted = outputs(denoiser, batches[0])
    masks = all_on(gates)
    with gates.obeying(masks):
        assert torch.equal(outputs(gates.denoiser, batches[0]).tokens, wanted.tokens)
    masks["encoder.blocks.0.feed_forward"][:, ::2] = 0
    with gates.obeying(masks):
        assert not torch.allclose(outputs(gates.denoiser, batches[0]).tokens, wanted.tokens)
    assert torch.equal(outputs(gates.denoiser, batches[0]).tokens, wanted.tokens)
    assert torch.equal(outputs(gates.denoiser, batches[0]).wrong, wanted.wrong)


def test_the_given_denoiser_is_left_as_it_is(gates: GatedDenoiser, denoiser: TupleDenoiser) -> None:
    assert "encoder.blocks.0.feed_forward.router" in dict(gates.denoiser.named_parameters())
    assert "encoder.blocks.0.feed_forward.router" not in dict(denoiser.named_parameters())
    trained = [name for name, one in gates.denoiser.named_parameters() if one.requires_grad]
    assert trained == [name for name, _ in gates.denoiser.named_parameters() if name.endswith(".router")]


def test_a_dimension_of_queries_that_is_off_is_gone_from_the_scores_and_can_come_back(
    gates: GatedDenoiser, denoiser: TupleDenoiser, batches: list[TrainingBatch]
) -> None:
    name = "encoder.blocks.0.attention.query_key"
    masks = all_on(gates)
    mask = torch.ones(1, 8)
    mask[0, 2] = 0
    masks[name] = mask.requires_grad_(True)
    with gates.obeying(masks):
        masked = outputs(gates.denoiser, batches[0])
    zeroed = GatedDenoiser(denoiser, (), 1, torch.Generator()).denoiser
    for one in ("query", "key"):
        projection = linear(zeroed, f"encoder.blocks.0.attention.{one}")
        projection.weight[2::8] = 0
        projection.bias[2::8] = 0
    assert torch.allclose(masked.tokens, outputs(zeroed, batches[0]).tokens, atol=1e-4)
    masked.tokens.square().mean().backward()  # type: ignore[no-untyped-call]
    assert mask.grad is not None and float(mask.grad[0, 2]) != 0.0


def test_only_real_tokens_are_counted(gates: GatedDenoiser, batches: list[TrainingBatch]) -> None:
    batch = batches[0]
    encoder, decoder = batch.encoder.keep, batch.answers.segments != 0
    with gates.obeying(all_on(gates)):
        outputs(gates.denoiser, batch)
        routing = gates.routing(encoder, decoder)
        whole = gates.routing(torch.ones_like(encoder), torch.ones_like(decoder))
    name, other = "encoder.blocks.1.feed_forward", "decoder.blocks.1.feed_forward"
    assert len(routing[name].chosen) == int(encoder.sum()) < len(whole[name].chosen)
    assert len(routing[other].chosen) == int(decoder.sum()) < len(whole[other].chosen)
    balances = [balance_loss(one.chosen, one.probabilities) for one in (routing[name], whole[name])]
    assert float(balances[0].detach()) != float(balances[1].detach())


def test_a_choice_is_one_hot_with_the_gradient_of_the_soft_one() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0]]).repeat(2000, 1).requires_grad_(True)
    drawn = choose(logits, torch.Generator().manual_seed(0))
    assert set(drawn.detach().flatten().tolist()) == {0.0, 1.0}
    assert bool((drawn.sum(1) == 1).all())
    # Gumbel noise makes the choice a draw from the softmax.
    assert torch.allclose(drawn.detach().mean(0), torch.tensor([0.665, 0.245, 0.090]), atol=0.03)
    drawn[:, 0].sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None and float(logits.grad[:, 0].sum()) > 0 > float(logits.grad[:, 1].sum())


def test_without_noise_the_largest_logit_is_chosen_and_of_equal_ones_the_first() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0], [2.0, 0.0, 2.0], [1.0, 1.0, 1.0]])
    assert choose(logits, None).argmax(1).tolist() == [1, 0, 0]

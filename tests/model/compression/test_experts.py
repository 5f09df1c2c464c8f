"""A block of experts as it runs: both ways agree, ties have a rule, and a token's neighbours change nothing."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.compression.experts import Crossover, ExpertFeedForward
from model.config import BlockSizes, ModelConfig

CONFIG = ModelConfig(vocabulary_size=50, width=8, heads=2, feed_forward=16, encoder_layers=1, decoder_layers=1)
MEMBERS = ((0, 1, 2, 5), (2, 3, 4, 5, 6, 7), (7,))


@pytest.fixture
def block() -> ExpertFeedForward:
    """Three overlapping experts of 4, 6 and 1 of 8 channels, float64."""
    torch.manual_seed(3)
    made = ExpertFeedForward(CONFIG, BlockSizes(4, 4, 8, experts=(4, 6, 1)))
    made.get_buffer("members").copy_(torch.tensor(sum(MEMBERS, ())))
    torch.nn.init.normal_(made.router)
    return made.double().eval().requires_grad_(False)


def by_hand(block: ExpertFeedForward, token: Tensor, expert: int) -> Tensor:
    """One token through one expert, channel by channel."""
    output = block.outer.bias.clone()
    for channel in MEMBERS[expert]:
        hidden = F.gelu(token @ block.inner.weight[channel] + block.inner.bias[channel])
        output += hidden * block.outer.weight[:, channel]
    return output


def test_a_token_is_read_by_the_channels_of_its_expert_and_the_last_bias_is_added_once(
    block: ExpertFeedForward,
) -> None:
    tokens = torch.randn(40, 8, dtype=torch.float64)
    experts = (tokens @ block.router.T).argmax(-1)
    assert set(experts.tolist()) == {0, 1, 2}
    wanted = torch.stack([by_hand(block, token, int(expert)) for token, expert in zip(tokens, experts, strict=True)])
    assert torch.allclose(block.read_masked(tokens, experts), wanted, rtol=0, atol=1e-12)
    assert torch.allclose(block.read_packed(tokens, experts), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("tokens", [1, 2, 7, 600])
def test_both_ways_agree_whatever_the_rule_picks(block: ExpertFeedForward, tokens: int) -> None:
    states = torch.randn(tokens, 8, dtype=torch.float64)
    block.crossover = Crossover(up_to=tokens, at_least=tokens)
    packed = block(states)
    block.crossover = Crossover(up_to=0, at_least=tokens + 1)
    assert torch.allclose(packed, block(states), rtol=0, atol=1e-12)


def test_the_rule_takes_packed_copies_for_few_and_for_many_tokens() -> None:
    rule = Crossover(up_to=2, at_least=100)
    assert [rule.packed(tokens) for tokens in (1, 2, 3, 99, 100, 5000)] == [True, True, False, False, True, True]


def test_of_equal_logits_the_first_expert_reads(block: ExpertFeedForward) -> None:
    block.router.zero_()
    assert block.route(torch.randn(5, 8)).tolist() == [0] * 5
    block.router[1:] = 1.0
    assert block.route(torch.ones(3, 8)).tolist() == [1] * 3


def test_a_token_is_read_the_same_in_any_company(block: ExpertFeedForward) -> None:
    states = torch.randn(5, 7, 8, dtype=torch.float64)
    together = block(states)
    alone = torch.stack([torch.stack([block(token[None])[0] for token in row]) for row in states])
    assert torch.allclose(together, alone, rtol=0, atol=1e-12)
    shuffled = block(states.flatten(0, 1).flip(0)).flip(0).view(5, 7, 8)
    assert torch.allclose(together, shuffled, rtol=0, atol=1e-12)


def test_copies_are_made_again_when_the_weights_are_exchanged(block: ExpertFeedForward) -> None:
    states = torch.randn(1, 8, dtype=torch.float64)
    before, twin = block(states), copy.deepcopy(block)
    twin.inner.weight.data = twin.inner.weight.data * 2
    assert not torch.allclose(twin(states), before)
    assert torch.allclose(twin(states), by_hand(twin, states[0], int(twin.route(states)[0]))[None])
    assert torch.equal(block(states), before)
    block.outer.bias.add_(1.0)
    assert torch.allclose(block(states), before + 1.0)
    block.outer.weight.mul_(3.0)
    assert torch.allclose(block(states), by_hand(block, states[0], int(block.route(states)[0]))[None])


def test_copies_work_in_inference_mode(block: ExpertFeedForward) -> None:
    states = torch.randn(1, 8, dtype=torch.float64)
    with torch.inference_mode():
        first = block(states)
    assert torch.equal(first, block(states))


def test_what_learns_has_a_gradient(block: ExpertFeedForward) -> None:
    block.requires_grad_(True)
    block(torch.randn(1, 8, dtype=torch.float64)).sum().backward()
    assert block.inner.weight.grad is not None and bool(block.inner.weight.grad.any())


def test_experts_must_make_up_the_union() -> None:
    for experts in ((9,), (0, 8), (3, 4)):
        with pytest.raises(ValueError, match="do not make up 8"):
            BlockSizes(4, 4, 8, experts=experts)

"""A feed-forward block of overlapping experts, as it runs (ToMoE, Gao et al. 2025, arXiv 2501.15316).

The weights of all channels that any expert uses are kept once; an expert is a list of these channels, and each token
is read by the one expert that its router likes best. The output is not scaled by the router's probability, as the
weights are those of the dense block. `model.architecture` imports this file only where a config names experts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.architecture import FeedForward
from model.config import BlockSizes, ModelConfig


@dataclass(frozen=True, slots=True)
class Crossover:
    """For how many tokens in a call the experts' own matrices are the faster way, as measured.

    Both ways give the same outputs but for rounding; the other one reads all channels and zeroes what is not the
    expert's.

    Attributes:
        up_to: so few tokens are read by the experts' own matrices: at most as many experts are then touched.
        at_least: and so many: each expert then has tokens enough.
    """

    up_to: int = 1
    at_least: int = 512

    def packed(self, tokens: int) -> bool:
        """Whether `tokens` tokens are to be read by the experts' own matrices."""
        return tokens <= self.up_to or tokens >= self.at_least


@dataclass(frozen=True, slots=True)
class _Packed:
    """Matrices of each expert, contiguous, the mask of each, and the weights that they were copied from."""

    inner: list[tuple[Tensor, Tensor]]
    outer: list[Tensor]
    masks: Tensor
    source: tuple[Tensor, ...]
    version: tuple[int, ...]

    def is_of(self, weights: Sequence[Tensor]) -> bool:
        """Whether the weights are still those that were copied; the copies hold on to theirs, so places differ."""
        same = all(old.data_ptr() == new.data_ptr() for old, new in zip(self.source, weights, strict=True))
        return same and self.version == tuple(weight._version for weight in weights)


class ExpertFeedForward(FeedForward):
    """Two linear maps with a GELU between, of which a token uses one expert's channels.

    Args:
        sizes: `feed_forward` channels are kept, the union of the experts, which have `experts` of them each.

    The state holds `inner` and `outer` over the union, `router` (experts, width), and `members`: the channels of the
    first expert, of the second, and so on, each ascending, int32 (sum of sizes,).
    """

    def __init__(self, config: ModelConfig, sizes: BlockSizes) -> None:
        super().__init__(config, sizes.feed_forward)
        self.sizes = sizes.experts
        self.crossover = Crossover()
        self.router = nn.Parameter(torch.zeros(len(self.sizes), config.width))
        self.register_buffer("members", torch.zeros(sum(self.sizes), dtype=torch.int32))
        self._packed: _Packed | None = None

    def forward(self, states: Tensor) -> Tensor:
        """(…, width) to (…, width)."""
        tokens = states.reshape(-1, states.shape[-1])
        expert = self.route(tokens)
        learning = torch.is_grad_enabled() and self.inner.weight.requires_grad
        read = self.read_packed if self.crossover.packed(len(tokens)) and not learning else self.read_masked
        return read(tokens, expert).view(states.shape)

    def route(self, tokens: Tensor) -> Tensor:
        """The expert of each token by its own state alone, (tokens,) int64; of equal ones the first.

        Computed in float32 whatever the states are.
        """
        return F.linear(tokens.float(), self.router.float()).argmax(-1)

    def lists(self) -> list[Tensor]:
        """The channels of each expert, int64."""
        members = self.get_buffer("members").long()
        return list(torch.split(members, list(self.sizes)))

    def masks(self) -> Tensor:
        """1 where an expert has a channel, (experts, channels), in the type of the weights."""
        masks = self.inner.weight.new_zeros(len(self.sizes), self.inner.out_features)
        for number, channels in enumerate(self.lists()):
            masks[number, channels] = 1
        return masks

    def read_masked(self, tokens: Tensor, expert: Tensor) -> Tensor:
        """Read all channels and keep the expert's: (tokens, width)."""
        masks = self.masks() if self.inner.weight.requires_grad else self.pack().masks
        hidden = F.gelu(self.inner(tokens)) * masks[expert]
        output: Tensor = self.outer(hidden)
        return output

    def read_packed(self, tokens: Tensor, expert: Tensor) -> Tensor:
        """Read each expert's tokens by its own matrices: (tokens, width)."""
        packed = self.pack()
        if len(tokens) == 1:
            return self._expert(packed, int(expert[0]), tokens)
        order = expert.argsort(stable=True)
        counts = expert.bincount(minlength=len(self.sizes)).tolist()
        parts = torch.split(tokens[order], counts)
        read = [self._expert(packed, number, part) for number, part in enumerate(parts) if len(part)]
        output = torch.empty_like(tokens)
        output[order] = torch.cat(read) if read else tokens
        return output

    def _expert(self, packed: _Packed, number: int, tokens: Tensor) -> Tensor:
        hidden = F.gelu(F.linear(tokens, *packed.inner[number]))
        return F.linear(hidden, packed.outer[number], self.outer.bias)

    def pack(self) -> _Packed:
        """The experts' own matrices: made at the first call, and again where the weights were exchanged since."""
        weights = [one.detach() for one in (self.inner.weight, self.inner.bias, self.outer.weight, self.router)]
        weights.append(self.get_buffer("members"))
        if self._packed is None or not self._packed.is_of(weights):
            inner_weight, inner_bias, outer_weight = weights[:3]
            lists = self.lists()
            self._packed = _Packed(
                [(inner_weight[channels].contiguous(), inner_bias[channels].contiguous()) for channels in lists],
                [outer_weight[:, channels].contiguous() for channels in lists],
                self.masks(),
                tuple(weights),
                tuple(weight._version for weight in weights),
            )
        return self._packed

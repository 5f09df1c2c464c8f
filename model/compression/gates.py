"""A frozen denoiser that obeys masks: what ToMoE trains through, before anything is cut.

Each feed-forward block gets a router and reads a token with one expert's channels; each attention's queries lose
dimensions. Dimensions of queries and keys are masked once, at the queries: the scores are the same as with both masked,
and a dimension that is off still has a gradient that can bring it back.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.architecture import FeedForward, TupleDenoiser
from model.compression.sampling import TEMPERATURE, gumbel_noise
from model.compression.structures import Kind, Structure, linear


@dataclass(frozen=True, slots=True)
class Routing:
    """What one block's router did in the last call.

    Attributes:
        chosen: one-hot choice, (…, experts); in training with the gradient of the soft one.
        probabilities: softmax of the logits without noise, (…, experts).
    """

    chosen: Tensor
    probabilities: Tensor

    def of(self, keep: Tensor) -> Routing:
        """Only the tokens where `keep` is true, both (tokens, experts)."""
        return Routing(self.chosen[keep], self.probabilities[keep])


def choose(logits: Tensor, rng: torch.Generator | None) -> Tensor:
    """One-hot choice of an expert, (…, experts): exactly 0 or 1.

    Args:
        logits: float32.
        rng: draws Gumbel noise, and the gradient is that of the softmax with temperature; None takes the largest
            logit, of equal ones the first.
    """
    if rng is None:
        return F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    soft = ((logits + gumbel_noise(logits, rng)) / TEMPERATURE).softmax(-1)
    hard = F.one_hot(soft.argmax(-1), logits.shape[-1]).to(logits.dtype)
    return hard + (soft - soft.detach())


class GatedFeedForward(nn.Module):
    """A feed-forward block and a router; dense while it has no masks."""

    def __init__(self, dense: FeedForward, experts: int, rng: torch.Generator) -> None:
        super().__init__()
        self.dense = dense
        width = dense.inner.in_features
        self.router = nn.Parameter(torch.randn(experts, width, generator=rng) / width**0.5)
        self.masks: Tensor | None = None
        self.rng: torch.Generator | None = None
        self.routing: Routing | None = None

    def forward(self, states: Tensor) -> Tensor:
        """(…, width) to (…, width)."""
        if self.masks is None:
            output: Tensor = self.dense(states)
            return output
        logits = F.linear(states.float(), self.router.float())
        chosen = choose(logits, self.rng)
        self.routing = Routing(chosen, logits.softmax(-1))
        hidden = F.gelu(self.dense.inner(states)) * (chosen @ self.masks.float()).to(states.dtype)
        output = self.dense.outer(hidden)
        return output


class GatedQuery(nn.Module):
    """The linear map of queries; some dimensions of every head are zero while it has a mask, (1, head width)."""

    def __init__(self, dense: nn.Linear, heads: int) -> None:
        super().__init__()
        self.dense = dense
        self.heads = heads
        self.mask: Tensor | None = None

    def forward(self, states: Tensor) -> Tensor:
        """(…, width) to (…, width)."""
        queries: Tensor = self.dense(states)
        return queries if self.mask is None else queries * self.mask.repeat(1, self.heads)[0].to(queries.dtype)


class GatedDenoiser:
    """A frozen copy of a denoiser with gates. Outside `obeying` it is the dense model.

    Args:
        structures: feed-forward blocks and dimensions of queries and keys; others have no gates.
        rng: draws the routers' first weights.
    """

    def __init__(
        self, denoiser: TupleDenoiser, structures: tuple[Structure, ...], experts: int, rng: torch.Generator
    ) -> None:
        self.denoiser = copy.deepcopy(denoiser).requires_grad_(False).eval()
        self.blocks: dict[str, GatedFeedForward] = {}
        self.queries: dict[str, GatedQuery] = {}
        for structure in structures:
            if structure.kind is Kind.FEED_FORWARD:
                dense = self.denoiser.get_submodule(structure.name)
                assert isinstance(dense, FeedForward)
                self.blocks[structure.name] = GatedFeedForward(dense, experts, rng)
                self._replace(structure.name, self.blocks[structure.name])
            elif structure.kind is Kind.QUERY_KEY:
                side = structure.sides[0]
                gate = GatedQuery(linear(self.denoiser, side.module), side.copies)
                self.queries[structure.name] = gate
                self._replace(side.module, gate)

    def _replace(self, name: str, module: nn.Module) -> None:
        parent, _, child = name.rpartition(".")
        self.denoiser.get_submodule(parent).add_module(child, module)

    def routers(self) -> dict[str, nn.Parameter]:
        """The routers by block, (experts, width)."""
        return {name: block.router for name, block in self.blocks.items()}

    @contextmanager
    def obeying(self, masks: Mapping[str, Tensor], rng: torch.Generator | None = None) -> Iterator[None]:
        """Within this context the masks hold; with an `rng` routers choose with noise."""
        for name, block in self.blocks.items():
            block.masks, block.rng = masks[name], rng
        for name, query in self.queries.items():
            query.mask = masks[name]
        try:
            yield
        finally:
            for block in self.blocks.values():
                block.masks, block.rng = None, None
            for query in self.queries.values():
                query.mask = None

    def routing(self, encoder_keep: Tensor, decoder_keep: Tensor) -> dict[str, Routing]:
        """What each router did with the real tokens of the last call, by block.

        Args:
            encoder_keep, decoder_keep: true where a real token stands, (batch, length).
        """
        found = {}
        for name, block in self.blocks.items():
            assert block.routing is not None
            found[name] = block.routing.of(encoder_keep if name.startswith("encoder.") else decoder_keep)
        return found

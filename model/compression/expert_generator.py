"""The network that decides which channels make an expert (ToMoE, Gao et al. 2025, arXiv 2501.15316, section 3).

Every structure has one vector for each expert, drawn once and never trained. A bidirectional GRU reads the vectors of
one expert along the layers, so that a layer's decision knows those of the others; what it makes of them are the
experts' embeddings. A linear map of each structure turns an embedding into one logit for each channel. Queries and keys
are cut alike for all tokens, so theirs come from the mean of the embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.compression.sampling import gumbel_sigmoid, straight_through
from model.compression.structures import Kind, Structure

INPUTS = 32
HIDDEN = 64
"""Width of the frozen inputs, and of the GRU in each direction; an embedding is twice as wide."""


class ExpertGenerator(nn.Module):
    """Makes the logits of every structure's units.

    Args:
        structures: feed-forward blocks, whose units make experts, and what is cut alike for all tokens.
        experts: experts of each feed-forward block.
        rng: draws the inputs and all weights.
    """

    inputs: Tensor

    def __init__(self, structures: Sequence[Structure], experts: int, rng: torch.Generator) -> None:
        super().__init__()
        self.structures = tuple(structures)
        self.experts = experts
        drawn = torch.randn(len(self.structures), experts, INPUTS, generator=rng)
        self.register_buffer("inputs", drawn)
        self.gru = nn.GRU(INPUTS, HIDDEN, bidirectional=True)
        self.norms = nn.ModuleList(nn.LayerNorm(2 * HIDDEN) for _ in self.structures)
        self.decoders = nn.ModuleList(nn.Linear(2 * HIDDEN, one.units, bias=False) for one in self.structures)
        for parameter in [*self.gru.parameters(), *self.decoders.parameters()]:
            bound = HIDDEN**-0.5 if parameter.ndim == 1 else min(parameter.shape[1], 2 * HIDDEN) ** -0.5
            with torch.no_grad():
                parameter.uniform_(-bound, bound, generator=rng)

    def forward(self) -> dict[str, Tensor]:
        """Logits by structure: (experts, units) of a feed-forward block, (1, units) of what is cut for all tokens."""
        embeddings = self.gru(self.inputs)[0]  # (structures, experts, embedding)
        logits = {}
        for structure, embedding, norm, decoder in zip(
            self.structures, embeddings, self.norms, self.decoders, strict=True
        ):
            if structure.kind is not Kind.FEED_FORWARD:
                embedding = embedding.mean(0, keepdim=True)
            logits[structure.name] = decoder(F.gelu(norm(embedding)))
        return logits

    def draw(self, rng: torch.Generator) -> dict[str, Tensor]:
        """Masks drawn from the logits: exactly 0 or 1, with the gradient of the soft decisions."""
        return {name: straight_through(gumbel_sigmoid(logits, rng)) for name, logits in self().items()}

"""Make a mixture of experts of a dense denoiser by dynamic structural pruning (ToMoE, Gao et al. 2025, 2501.15316).

The weights stay as they are. A generator learns which channels of a feed-forward block make an expert, experts may
overlap, and a router learns which expert reads a token; the dimensions of queries and keys that all tokens can do
without are cut. Both learn from the distance to the dense model alone: KL at every token that the decoder writes and,
beyond the paper, at every cell that the detection head judges, as the service reads both.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from model.architecture import TupleDenoiser
from model.compression.expert_losses import balance_loss, binary_divergence, divergence, share_distance, union_loss
from model.compression.expert_training import ExpertMasks, ExpertTraining, ToMoEConfig
from model.compression.gates import GatedDenoiser, Routing
from model.compression.structures import Kind, denoiser_structures
from model.dataset import TrainingBatch


@dataclass(frozen=True, slots=True)
class Outputs:
    """What the model says of a batch.

    Attributes:
        tokens: log-probabilities of each next token, (targets, vocabulary) float32.
        wrong: logits of the judged cells, (cells,) float32.
    """

    tokens: Tensor
    wrong: Tensor


def outputs(denoiser: TupleDenoiser, batch: TrainingBatch) -> Outputs:
    """Run a batch; every token of the decoder that is not padding is a target."""
    states = denoiser.encode(batch.encoder)
    hidden = denoiser.decode(states, batch.encoder, batch.answers)
    write, copied = denoiser.copying(hidden, denoiser.copy_keys(states, batch.encoder), batch.encoder)
    place = (batch.target_example, batch.target_index)
    written = denoiser.decoder.vocabulary(hidden[place], denoiser.encoder.tokens.weight) + write[place]
    ids = batch.encoder.ids[batch.target_example]
    mixed = written.exp().scatter_add(1, ids, copied[place].exp()).clamp_min(1e-30).log()
    return Outputs(mixed, denoiser.detect(states, batch.cell_example, batch.cell_index))


class ToMoE(ExpertTraining[TrainingBatch]):
    """ToMoE on the tuple denoiser.

    Args:
        denoiser: stays as it is.
        fixed: experts that are given instead of generated; then only the routers learn.
    """

    def __init__(self, denoiser: TupleDenoiser, config: ToMoEConfig, fixed: ExpertMasks | None = None) -> None:
        structures, rng = denoiser_structures(denoiser.config), torch.Generator().manual_seed(config.seed)
        decided = tuple(one for one in structures if one.kind is not Kind.VALUE)
        self.gates = GatedDenoiser(denoiser, decided, config.experts, rng)
        super().__init__(structures, decided, self.gates.routers(), config, rng, fixed)

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:
        """Every loss of a batch by name, unweighted: divergence, detection, budget, union, balance."""
        with torch.no_grad():
            dense = outputs(self.gates.denoiser, batch)
        masks = self.masks()
        with self.gates.obeying(masks, self.rng):
            masked = outputs(self.gates.denoiser, batch)
        routing = self.gates.routing(batch.encoder.keep, batch.answers.segments != 0)
        unions = [union_loss(masks[name]) for name in self.gates.blocks]
        balances = [balance_loss(one.chosen, one.probabilities) for one in routing.values() if len(one.chosen)]
        return {
            "divergence": divergence(dense.tokens, masked.tokens),
            "detection": binary_divergence(dense.wrong, masked.wrong),
            "budget": share_distance(self.active_share(masks), self.config.active).float(),
            "union": torch.stack(unions).mean(),
            "balance": torch.stack(balances).mean(),
        }

    @torch.no_grad()
    def run(
        self, batch: TrainingBatch, masks: ExpertMasks, rng: torch.Generator | None = None
    ) -> tuple[Outputs, dict[str, Routing]]:
        """Outputs under given masks and what each router did with the real tokens; with an `rng`, routers draw."""
        with self.gates.obeying(masks, rng):
            found = outputs(self.gates.denoiser, batch)
        return found, self.gates.routing(batch.encoder.keep, batch.answers.segments != 0)

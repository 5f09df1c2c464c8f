"""ToMoE for decoder-only models (Gao et al. 2025, arXiv 2501.15316): LLaMA, Qwen2 and Phi.

As for the denoiser (`model.compression.tomoe`), but for two things: values and outputs of attention are cut too, alike
for all tokens, and the distance to the dense model is the KL after every real token.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from model.compression.expert_losses import balance_loss, divergence, share_distance, union_loss
from model.compression.expert_training import ExpertMasks, ExpertTraining, ToMoEConfig
from model.compression.language_model_gates import GatedLanguageModel
from model.compression.language_models import cut_language_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Tokens of some texts, and where they are no padding, (batch, length); padding stands behind."""

    ids: Tensor
    keep: Tensor


class LanguageToMoE(ExpertTraining[TokenBatch]):
    """ToMoE on a decoder-only model.

    Args:
        model: stays as it is.
        config: `detection_weight` means nothing here.
        fixed: masks that are given instead of generated; then only the routers learn.
    """

    def __init__(self, model: PreTrainedModel, config: ToMoEConfig, fixed: ExpertMasks | None = None) -> None:
        rng = torch.Generator().manual_seed(config.seed)
        self.dense = model
        self.gates = GatedLanguageModel(model, config.experts, rng)
        super().__init__(self.gates.structures, self.gates.structures, self.gates.routers(), config, rng, fixed)

    def losses(self, batch: TokenBatch) -> dict[str, Tensor]:
        """Every loss of a batch by name, unweighted: divergence, budget, union, balance."""
        with torch.no_grad():
            dense = self.gates.log_probabilities(batch.ids, batch.keep)
        masks = self.masks()
        with self.gates.obeying(masks, self.rng):
            masked = self.gates.log_probabilities(batch.ids, batch.keep)
        routing = self.gates.routing(batch.keep)
        return {
            "divergence": divergence(dense, masked),
            "budget": share_distance(self.active_share(masks), self.config.active).float(),
            "union": torch.stack([union_loss(masks[name]) for name in self.gates.blocks]).mean(),
            "balance": torch.stack([balance_loss(one.chosen, one.probabilities) for one in routing.values()]).mean(),
        }

    @torch.no_grad()
    def divergence(
        self, batches: Iterable[TokenBatch], masks: ExpertMasks, rng: torch.Generator | None = None
    ) -> float:
        """KL from the dense model under given masks, the mean over real tokens; with an `rng` routers draw."""
        total, count = 0.0, 0
        for batch in batches:
            dense = self.gates.log_probabilities(batch.ids, batch.keep)
            with self.gates.obeying(masks, rng):
                masked = self.gates.log_probabilities(batch.ids, batch.keep)
            total += float(divergence(dense, masked)) * len(dense)
            count += len(dense)
        return total / count

    def cut(self, masks: ExpertMasks) -> PreTrainedModel:
        """The model that is left, with its routers where there are several experts."""
        return cut_language_model(self.dense, masks, self.gates.routers())

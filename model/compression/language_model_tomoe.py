"""ToMoE for decoder-only models (Gao et al. 2025, arXiv 2501.15316): LLaMA, Qwen2 and Phi.

As for the denoiser (`model.compression.tomoe`), but for two things: values and outputs of attention are cut too, alike
for all tokens, and the distance to the dense model is the KL after every real token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from model.compression.expert_generator import ExpertGenerator
from model.compression.expert_losses import balance_loss, divergence, share_distance, union_loss
from model.compression.language_model_gates import GatedLanguageModel
from model.compression.language_models import cut_language_model
from model.compression.sampling import OFFSET
from model.compression.structures import prunable_parameters
from model.compression.tomoe import MEDIAN_NOISE, ExpertMasks, ToMoEConfig, active_parameters

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Tokens of some texts, and where they are no padding, (batch, length); padding stands behind."""

    ids: Tensor
    keep: Tensor


class LanguageToMoE:
    """A dense model, its generator and its routers, and the loop that trains these two.

    Args:
        model: stays as it is.
        config: `detection_weight` means nothing here.
        fixed: masks that are given instead of generated; then only the routers learn.
    """

    def __init__(self, model: PreTrainedModel, config: ToMoEConfig, fixed: ExpertMasks | None = None) -> None:
        self.config = config
        self.dense = model
        self.rng = torch.Generator().manual_seed(config.seed)
        self.gates = GatedLanguageModel(model, config.experts, self.rng)
        self.structures = self.gates.structures
        self.generator = ExpertGenerator(self.structures, config.experts, self.rng)
        self.fixed = fixed
        learned = [*self.gates.routers().values(), *([] if fixed else self.generator.parameters())]
        self.optimizer = torch.optim.AdamW(learned, lr=config.learning_rate, weight_decay=config.weight_decay)

    def active_share(self, masks: ExpertMasks) -> Tensor:
        """Active parameters, by the widest expert of every block, as a share of all prunable ones, float64 ()."""
        return active_parameters(self.structures, masks) / prunable_parameters(self.structures)

    def losses(self, batch: TokenBatch) -> dict[str, Tensor]:
        """Every loss of a batch by name, unweighted: divergence, budget, union, balance."""
        with torch.no_grad():
            dense = self.gates.log_probabilities(batch.ids, batch.keep)
        masks = self.fixed or self.generator.draw(self.rng)
        with self.gates.obeying(masks, self.rng):
            masked = self.gates.log_probabilities(batch.ids, batch.keep)
        routing = self.gates.routing(batch.keep)
        return {
            "divergence": divergence(dense, masked),
            "budget": share_distance(self.active_share(masks), self.config.active).float(),
            "union": torch.stack([union_loss(masks[name]) for name in self.gates.blocks]).mean(),
            "balance": torch.stack([balance_loss(one.chosen, one.probabilities) for one in routing.values()]).mean(),
        }

    def step(self, batch: TokenBatch) -> dict[str, float]:
        """One optimizer step; the losses before it."""
        losses = self.losses(batch)
        total = torch.stack([getattr(self.config, f"{name}_weight") * loss for name, loss in losses.items()]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def train(
        self, batches: Iterable[TokenBatch], on_step: Callable[[int, dict[str, float]], None] | None = None
    ) -> None:
        """A step on every batch; `on_step` is told its number and losses."""
        for number, batch in enumerate(batches):
            losses = self.step(batch)
            if on_step is not None:
                on_step(number, losses)

    @torch.no_grad()
    def decide(self) -> dict[str, Tensor]:
        """Masks without noise, bool, whose active share is as near below the budget as whole units allow."""
        if self.fixed is not None:
            return {name: mask.bool() for name, mask in self.fixed.items()}
        return fit_budget({name: one + OFFSET + MEDIAN_NOISE for name, one in self.generator().items()}, self._fits)

    def _fits(self, masks: ExpertMasks) -> bool:
        return float(self.active_share(masks)) <= self.config.active

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


def fit_budget(scores: Mapping[str, Tensor], fits: Callable[[ExpertMasks], bool]) -> dict[str, Tensor]:
    """Keep the units of the highest scores, as many as fit, and in any case the best one of each row.

    Args:
        scores: by structure, (rows, units); compared with one another across structures.
        fits: whether masks are within the budget; fewer units fit where more do.
    """
    values = torch.cat([one.reshape(-1) for one in scores.values()]).sort().values
    low, high = 0, len(values)  # the index of the threshold; beyond the end only the best of each row stay
    while low < high:
        middle = (low + high) // 2
        if fits(_at_least(scores, values[middle])):
            high = middle
        else:
            low = middle + 1
    return _at_least(scores, values[low] if low < len(values) else values[-1] + 1)


def _at_least(scores: Mapping[str, Tensor], threshold: Tensor) -> dict[str, Tensor]:
    return {name: (one >= threshold) | (one == one.max(-1, keepdim=True).values) for name, one in scores.items()}

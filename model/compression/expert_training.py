"""The loop that ToMoE trains by, whatever the network (Gao et al. 2025, arXiv 2501.15316).

A generator draws masks, routers choose by token, and both learn from the losses of a batch; the network stays as it is.
`model.compression.tomoe` has the losses of the tuple denoiser, `language_model_tomoe` those of decoder-only models.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from model.compression.expert_generator import ExpertGenerator
from model.compression.sampling import OFFSET
from model.compression.structures import Structure, prunable_parameters

Batch = TypeVar("Batch")

MEDIAN_NOISE = -math.log(math.log(2))
"""Median of standard Gumbel noise, 0.37: with it in place of noise, what is kept more often than not is kept."""

OnStep = Callable[[int, dict[str, float]], None]
"""Told the number of a step, from 0, and its losses by name."""

ExpertMasks = Mapping[str, Tensor]
"""By structure: (experts, units) of a feed-forward block, (1, units) of what is cut alike for all tokens."""


@dataclass(frozen=True, slots=True)
class ToMoEConfig:
    """One run of ToMoE; weights of losses as in the authors' code unless said.

    Attributes:
        active: share of the prunable parameters that the widest expert of every block may leave.
        experts: experts of each feed-forward block; 1 is plain static pruning.
        seed: all randomness of the run follows from it.
        learning_rate, weight_decay: of AdamW, constant.
        divergence_weight: weight of the KL at written tokens.
        detection_weight: weight of the KL at judged cells; the paper has none.
        budget_weight: weight of the distance of the active share to the budget.
        union_weight: weight of the distance of the experts' union to all channels.
        balance_weight: weight of N * sum f P; the paper's 1 is for the same without the factor N, which is 8.
    """

    active: float = 0.6
    experts: int = 8
    seed: int = 0
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    divergence_weight: float = 2.0
    detection_weight: float = 1.0
    budget_weight: float = 16.0
    union_weight: float = 3.0
    balance_weight: float = 0.125

    def __post_init__(self) -> None:
        if not 0.0 < self.active <= 1.0:
            raise ValueError(f"active {self.active} is outside (0, 1]")
        if self.experts < 1:
            raise ValueError(f"{self.experts} experts are no experts")

    @classmethod
    def for_short_runs(cls, active: float, seed: int = 0) -> ToMoEConfig:
        """For hundreds of steps instead of twenty thousand: the budget pulls less, the dense model more.

        With the authors' weights a tiny model met the budget before the divergence had told useless channels apart.
        """
        return cls(active, seed=seed, learning_rate=2e-3, divergence_weight=8.0, budget_weight=4.0)


def active_parameters(structures: Iterable[Structure], masks: ExpertMasks) -> Tensor:
    """Prunable numbers that a token meets at most, float64 (): the widest expert counts; without a mask all units."""
    sums = []
    for structure in structures:
        mask = masks.get(structure.name)
        units = torch.tensor(float(structure.units)) if mask is None else mask.sum(-1).max()
        sums.append(structure.unit_parameters * units.double())
    return torch.stack(sums).sum()


class ExpertTraining(ABC, Generic[Batch]):
    """A generator and routers that learn beside a network that does not.

    Args:
        structures: all prunable ones of the network, which the budget counts.
        decided: those that get masks.
        routers: one for each routed block, by name.
        rng: what the network's gates were drawn from; generator and masks go on from there.
        fixed: masks that are given instead of generated; then only the routers learn.
    """

    def __init__(
        self,
        structures: Sequence[Structure],
        decided: Sequence[Structure],
        routers: Mapping[str, nn.Parameter],
        config: ToMoEConfig,
        rng: torch.Generator,
        fixed: ExpertMasks | None,
    ) -> None:
        self.config = config
        self.structures = structures
        self.rng = rng
        self.generator = ExpertGenerator(decided, config.experts, rng)
        self.fixed = fixed
        learned = [*routers.values(), *([] if fixed else self.generator.parameters())]
        self.optimizer = torch.optim.AdamW(learned, lr=config.learning_rate, weight_decay=config.weight_decay)

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Every loss of a batch by name, unweighted; `ToMoEConfig` has a weight for each."""

    def masks(self) -> ExpertMasks:
        """Masks for one step: drawn, or those that are given."""
        return self.fixed or self.generator.draw(self.rng)

    def active_share(self, masks: ExpertMasks) -> Tensor:
        """Active parameters, by the widest expert of every block, as a share of all prunable ones, float64 ()."""
        return active_parameters(self.structures, masks) / prunable_parameters(self.structures)

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum; without labels of a kind its loss is not a number, and left out."""
        weighted = [getattr(self.config, f"{name}_weight") * loss for name, loss in losses.items() if loss.isfinite()]
        return torch.stack(weighted).sum()

    def step(self, batch: Batch) -> dict[str, float]:
        """One optimizer step; the losses before it."""
        losses = self.losses(batch)
        self.optimizer.zero_grad(set_to_none=True)
        self.total(losses).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def train(self, batches: Iterable[Batch], on_step: OnStep | None = None) -> None:
        """A step on every batch."""
        for number, batch in enumerate(batches):
            losses = self.step(batch)
            if on_step is not None:
                on_step(number, losses)

    @torch.no_grad()
    def decide(self) -> dict[str, Tensor]:
        """Masks without noise, bool, whose active share is as near below the budget as whole units allow.

        A unit is kept where it is drawn more often than not, but for one shift of all logits that meets the budget.
        """
        if self.fixed is not None:
            return {name: mask.bool() for name, mask in self.fixed.items()}
        return fit_budget({name: one + OFFSET + MEDIAN_NOISE for name, one in self.generator().items()}, self._fits)

    def _fits(self, masks: ExpertMasks) -> bool:
        return float(self.active_share(masks)) <= self.config.active


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

"""Make a mixture of experts of a dense denoiser by dynamic structural pruning (ToMoE, Gao et al. 2025, 2501.15316).

The weights stay as they are. A generator learns which channels of a feed-forward block make an expert, experts may
overlap, and a router learns which expert reads a token; the dimensions of queries and keys that all tokens can do
without are cut. Both learn from the distance to the dense model alone: KL at every token that the decoder writes and,
beyond the paper, at every cell that the detection head judges, as the service reads both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from model.architecture import TupleDenoiser
from model.compression.expert_generator import ExpertGenerator
from model.compression.expert_losses import balance_loss, binary_divergence, divergence, share_distance, union_loss
from model.compression.gates import GatedDenoiser, Routing
from model.compression.sampling import OFFSET
from model.compression.structures import Kind, Structure, denoiser_structures, prunable_parameters
from model.dataset import TrainingBatch

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


class ToMoE:
    """A dense denoiser, its generator and its routers, and the loop that trains these two.

    Args:
        denoiser: stays as it is.
        fixed: experts that are given instead of generated; then only the routers learn.
    """

    def __init__(self, denoiser: TupleDenoiser, config: ToMoEConfig, fixed: ExpertMasks | None = None) -> None:
        self.config = config
        self.rng = torch.Generator().manual_seed(config.seed)
        self.structures = denoiser_structures(denoiser.config)
        decided = tuple(one for one in self.structures if one.kind is not Kind.VALUE)
        self.gates = GatedDenoiser(denoiser, decided, config.experts, self.rng)
        self.generator = ExpertGenerator(decided, config.experts, self.rng)
        self.fixed = fixed
        learned = [*self.gates.routers().values(), *([] if fixed else self.generator.parameters())]
        self.optimizer = torch.optim.AdamW(learned, lr=config.learning_rate, weight_decay=config.weight_decay)

    def masks(self) -> ExpertMasks:
        """Masks for one step: drawn, or those that are given."""
        return self.fixed or self.generator.draw(self.rng)

    def active_share(self, masks: ExpertMasks) -> Tensor:
        """Active parameters as a share of all prunable ones, float64 ()."""
        return active_parameters(self.structures, masks) / prunable_parameters(self.structures)

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

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum; without labels of a kind its loss is not a number, and left out."""
        weighted = [getattr(self.config, f"{name}_weight") * loss for name, loss in losses.items() if loss.isfinite()]
        return torch.stack(weighted).sum()

    def step(self, batch: TrainingBatch) -> dict[str, float]:
        """One optimizer step; the losses before it."""
        losses = self.losses(batch)
        self.optimizer.zero_grad(set_to_none=True)
        self.total(losses).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def train(self, batches: Iterable[TrainingBatch], on_step: OnStep | None = None) -> None:
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
        logits = {name: one + OFFSET + MEDIAN_NOISE for name, one in self.generator().items()}
        low, high = -64.0, 64.0
        for _ in range(64):
            middle = (low + high) / 2
            fits = float(self.active_share(_cut_at(logits, middle))) <= self.config.active
            low, high = (low, middle) if fits else (middle, high)
        return _cut_at(logits, high)

    @torch.no_grad()
    def run(
        self, batch: TrainingBatch, masks: ExpertMasks, rng: torch.Generator | None = None
    ) -> tuple[Outputs, dict[str, Routing]]:
        """Outputs under given masks and what each router did with the real tokens; with an `rng`, routers draw."""
        with self.gates.obeying(masks, rng):
            found = outputs(self.gates.denoiser, batch)
        return found, self.gates.routing(batch.encoder.keep, batch.answers.segments != 0)


def _cut_at(logits: Mapping[str, Tensor], threshold: float) -> dict[str, Tensor]:
    """Units from a threshold on, and in any case the best one of each row."""
    return {name: (one >= threshold) | (one == one.max(-1, keepdim=True).values) for name, one in logits.items()}

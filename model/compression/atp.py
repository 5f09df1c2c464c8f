"""ATP: decide what to remove and tune what stays in one run (Lu et al. 2024, arXiv 2412.14426).

Each step has three parts. The generator of decisions learns from a batch of its own, with the network as it is: its
loss is the task's loss under soft decisions and how far the hard ones are from the wanted size. Then decisions are
drawn, and the network's low-rank changes learn under them. Last, the changes of units that are off now are shrunk, the
more the later (the proximal step of a group lasso). From some step on the decisions are frozen, so that at the end the
changes of removed units are zero and cutting changes nothing.

The task is the product's own: denoising of tuples, with its losses of answers, detection and match (`model.training`).
Where this follows the authors' code rather than the paper, see `docs/compression.md`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count

import torch
from torch import Tensor, nn

from model.architecture import TupleDenoiser
from model.checkpoint import native_precision
from model.compression.decisions import DecisionGenerator, LogitTable, draw_decisions, keep_best
from model.compression.masking import MaskedDenoiser
from model.compression.sampling import straight_through
from model.compression.structures import Masks, kept_share
from model.config import TrainingConfig
from model.dataset import ExampleSource, TrainingBatch, make_chunk
from model.training import batch_losses, learning_rate, make_optimizer, set_learning_rate

logger = logging.getLogger(__name__)

OnLog = Callable[[dict[str, float]], None]


@dataclass(frozen=True, slots=True)
class ATPOptions:
    """How a network is pruned; how it is tuned meanwhile is the `TrainingConfig` of the examples.

    Attributes:
        keep: share of the prunable parameters that stay.
        decided: share of the steps after which the decisions are frozen.
        rank: rank of the low-rank changes.
        decision_rate: learning rate of the generator; it follows a cosine to a third.
        resource_weight: weight of the size in the generator's loss.
        sparsity: strength of the proximal step at the end, before the learning rate. The authors' 50,000 is for tens of
            thousands of steps; this default is for some hundreds.
        exact: share of the steps after which the changes of removed units are set to zero whatever is left of them.
        generator: False decides by a free table of logits (ablation).
        trained: False leaves the generator as it was drawn (ablation).
        proximal: False leaves the proximal step out (ablation); cutting then changes the model.
    """

    keep: float = 0.6
    decided: float = 0.6
    rank: int = 32
    decision_rate: float = 1e-2
    resource_weight: float = 5.0
    sparsity: float = 2_000_000.0
    exact: float = 0.9
    generator: bool = True
    trained: bool = True
    proximal: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise ValueError(f"keep {self.keep} is outside (0, 1]")
        if not 0 < self.decided <= self.exact < 1:
            raise ValueError(f"decided {self.decided} and exact {self.exact} must be in order and inside (0, 1)")
        if self.rank < 1:
            raise ValueError(f"rank {self.rank} must be at least 1")


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a run leaves.

    Attributes:
        denoiser: dense in shape, low-rank changes merged; its removed units are still there, to be cut.
        masks: what to keep, bool by structure.
        story: of the run, for the model card.
    """

    denoiser: TupleDenoiser
    masks: dict[str, Tensor]
    story: dict[str, float] = field(default_factory=dict)


def resource_loss(share: Tensor, target: float) -> Tensor:
    """How far a kept share is from the target: the log of the larger over the smaller, 0 where they meet."""
    return (share.clamp_min(target) / (share.clamp_max(target) + 1e-10)).log()


def sparsity_schedule(progress: float) -> float:
    """Strength of the proximal step at a progress of 0 to 1, from 0 to 1: gentle first."""
    return math.expm1(progress) / (math.e - 1)


def batches(source: ExampleSource) -> Iterator[TrainingBatch]:
    """Batches without end."""
    for chunk in count():
        yield from make_chunk(source, chunk)


def task_loss(denoiser: TupleDenoiser, batch: TrainingBatch, training: TrainingConfig) -> Tensor:
    """The denoising loss; in 16 bits where the processor multiplies them in hardware."""
    device = batch.encoder.ids.device.type
    with torch.autocast(device, torch.bfloat16, enabled=device != "cpu" or native_precision() == "bfloat16"):
        return batch_losses(denoiser, batch, training).total


class Tuner:
    """Low-rank changes that learn under masks; all methods of this package recover with it."""

    def __init__(self, masked: MaskedDenoiser, source: ExampleSource) -> None:
        self.masked = masked
        self.training = source.training
        self.optimizer = make_optimizer(masked.denoiser, self.training)
        self._trained = [one for one in masked.denoiser.parameters() if one.requires_grad]
        self._batches = batches(source)

    def step(self, number: int, masks: Masks) -> float:
        """One optimizer step under hard masks; gives the loss."""
        set_learning_rate(self.optimizer, learning_rate(number, self.training))
        self.masked.show(masks, tuning=True)
        loss = task_loss(self.masked.denoiser, next(self._batches), self.training)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._trained, self.training.clip_norm)
        self.optimizer.step()
        return loss.item()


class Decider:
    """Learns decisions under a network that stands still."""

    def __init__(self, masked: MaskedDenoiser, source: ExampleSource, options: ATPOptions, steps: int) -> None:
        self.masked = masked
        self.options = options
        self.training = source.training
        self.steps = steps
        make = DecisionGenerator if options.generator else LogitTable
        self.network = make(masked.structures)
        self.rng = torch.Generator().manual_seed(source.training.seed)
        self._optimizer = torch.optim.AdamW(self.network.parameters(), lr=options.decision_rate, weight_decay=0.0)
        self._batches = batches(source)

    def step(self, number: int) -> dict[str, float]:
        """One optimizer step; gives the losses and the hard decisions' kept share."""
        cosine = 0.5 * (1 + math.cos(math.pi * number / self.steps))
        set_learning_rate(self._optimizer, self.options.decision_rate * (1 + 2 * cosine) / 3)
        soft = draw_decisions(self.network(), self.rng)
        share = kept_share(self.masked.structures, {name: straight_through(one) for name, one in soft.items()})
        size = resource_loss(share, self.options.keep)
        task = self._task_loss(soft)
        self._optimizer.zero_grad(set_to_none=True)
        loss = task + self.options.resource_weight * size
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.step()
        return {"decision_loss": task.item(), "resource_loss": size.item(), "kept": share.item()}

    def _task_loss(self, soft: Mapping[str, Tensor]) -> Tensor:
        """With a gradient for the decisions alone."""
        trained = [one for one in self.masked.denoiser.parameters() if one.requires_grad]
        for parameter in trained:
            parameter.requires_grad_(False)
        self.masked.show(soft)
        loss = task_loss(self.masked.denoiser, next(self._batches), self.training)
        for parameter in trained:
            parameter.requires_grad_(True)
        return loss

    @torch.no_grad()
    def draw(self) -> dict[str, Tensor]:
        """Hard decisions, drawn anew."""
        return {name: one >= 0.5 for name, one in draw_decisions(self.network(), self.rng).items()}

    @torch.no_grad()
    def settle(self) -> dict[str, Tensor]:
        """The final decisions, without noise: the units of the highest logits, down to the wanted size."""
        return keep_best(self.masked.structures, self.network(), self.options.keep)


def prune(
    denoiser: TupleDenoiser,
    tuning: ExampleSource,
    deciding: ExampleSource,
    options: ATPOptions,
    on_log: OnLog | None = None,
) -> Pruned:
    """Run ATP on a copy of a denoiser.

    Args:
        tuning: examples that the network learns from; its config has the steps, rates and seed.
        deciding: examples that decisions learn from, of other tables.
        on_log: gets the figures of every step.
    """
    torch.manual_seed(tuning.training.seed)
    masked = MaskedDenoiser(denoiser.float(), options.rank)
    steps = tuning.training.steps
    frozen_from = max(1, min(steps - 1, round(options.decided * steps)))
    decider, tuner = Decider(masked, deciding, options, frozen_from), Tuner(masked, tuning)
    masks: dict[str, Tensor] = {}
    for number in range(steps):
        record: dict[str, float] = {"step": number}
        if number < frozen_from:
            if options.trained:
                record |= decider.step(number)
            masks = decider.draw()
        elif number == frozen_from:
            masks = decider.settle()
        record["tuning_loss"] = tuner.step(number, masks)
        if options.proximal:
            rate, progress = learning_rate(number, tuning.training), (number + 1) / steps
            strength = math.inf if progress > options.exact else options.sparsity * sparsity_schedule(progress)
            masked.shrink(masks, rate * strength)
        if on_log is not None:
            on_log(record | {"kept_now": kept_share(masked.structures, masks).item()})
    return Pruned(masked.merged(), masks, _story(masked, masks, decider, frozen_from))


@torch.no_grad()
def _story(masked: MaskedDenoiser, masks: Masks, decider: Decider, frozen_from: int) -> dict[str, float]:
    drawn = kept_share(masked.structures, decider.draw()).item()
    norms = masked.group_norms()
    left = max(float(norms[name].masked_fill(mask, 0.0).max()) for name, mask in masks.items())
    return {
        "tuning_steps": decider.training.steps,
        "frozen_from_step": frozen_from,
        "kept_share": kept_share(masked.structures, masks).item(),
        "kept_share_of_a_last_draw": drawn,
        "largest_change_of_a_removed_unit": left,
    }

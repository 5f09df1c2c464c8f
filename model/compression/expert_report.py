"""What became of a mixture of experts: its sizes, how far experts differ, what routers do, and what noise hides.

Stored, active and computed are three numbers and never one. Experts that are all alike would be plain static pruning
with an idle router, so their overlap, the router's entropy and each expert's share of the tokens are always given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from model.compression.expert_losses import binary_divergence, divergence, pairwise_jaccard, routing_entropy
from model.compression.expert_training import ExpertMasks
from model.compression.gates import Routing
from model.compression.structures import ModelSize, model_size
from model.compression.tomoe import ToMoE, outputs
from model.config import ModelConfig
from model.dataset import TrainingBatch


@dataclass(frozen=True, slots=True)
class BlockReport:
    """One feed-forward block.

    Attributes:
        channels: of the dense block.
        union: channels that some expert uses, which are stored.
        unused: the others, which are removed, by number.
        widths: channels of each expert.
        overlap: mean, least and largest Jaccard index of two experts; None where there is one.
        entropy_bits: mean entropy of the router's choice.
        token_shares: share of the real tokens that each expert reads.
    """

    channels: int
    union: int
    unused: tuple[int, ...]
    widths: tuple[int, ...]
    overlap: tuple[float, float, float] | None
    entropy_bits: float
    token_shares: tuple[float, ...]

    @property
    def mean_width(self) -> float:
        """Channels that a token meets on average."""
        return sum(width * share for width, share in zip(self.widths, self.token_shares, strict=True))


def block_report(masks: Tensor, routing: Routing) -> BlockReport:
    """Describe a block by its masks, (experts, channels) bool, and what its router did with real tokens."""
    overlap = pairwise_jaccard(masks)
    used = masks.any(0)
    extremes = (float(overlap.mean()), float(overlap.min()), float(overlap.max())) if len(overlap) else None
    return BlockReport(
        masks.shape[1],
        int(used.sum()),
        tuple((~used).nonzero().squeeze(1).tolist()),
        tuple(masks.sum(1).tolist()),
        extremes,
        float(routing_entropy(routing.probabilities)),
        tuple(routing.chosen.mean(0).tolist()),
    )


@dataclass(frozen=True, slots=True)
class NoiseGap:
    """KL to the dense model at written tokens, and at judged cells, under four rules of deciding.

    Attributes:
        frozen: masks are decided and routers take their largest logit: the model that is saved.
        drawn_routers: masks are decided, routers draw with noise.
        drawn: both are drawn, as in training.
        moved: share of real tokens that noise sends to another expert.
    """

    frozen: tuple[float, float]
    drawn_routers: tuple[float, float]
    drawn: tuple[float, float]
    moved: float


@torch.no_grad()
def noise_gap(tomoe: ToMoE, masks: ExpertMasks, batches: Sequence[TrainingBatch], seed: int = 0) -> NoiseGap:
    """Measure on held-out batches what noise is worth; means over batches, weighted by their labels."""
    rng = torch.Generator().manual_seed(seed)
    sums = torch.zeros(3, 2, dtype=torch.float64)
    counts = torch.zeros(2, dtype=torch.float64)
    moved, tokens = 0.0, 0
    for batch in batches:
        dense = outputs(tomoe.gates.denoiser, batch)
        runs = [
            tomoe.run(batch, masks),
            tomoe.run(batch, masks, rng),
            tomoe.run(batch, tomoe.fixed or tomoe.generator.draw(rng), rng),
        ]
        labels = torch.tensor([len(batch.target_id), len(batch.cell_index)])
        for place, (found, _) in enumerate(runs):
            means = divergence(dense.tokens, found.tokens), binary_divergence(dense.wrong, found.wrong)
            sums[place] += torch.stack(means).nan_to_num() * labels
        counts += labels
        for name, routing in runs[0][1].items():
            moved += float((routing.chosen != runs[1][1][name].chosen).any(-1).sum())
            tokens += len(routing.chosen)
    frozen, drawn_routers, drawn = [(float(one[0]), float(one[1])) for one in sums / counts.clamp(min=1)]
    return NoiseGap(frozen, drawn_routers, drawn, moved / max(1, tokens))


@torch.no_grad()
def block_reports(tomoe: ToMoE, masks: ExpertMasks, batches: Sequence[TrainingBatch]) -> dict[str, BlockReport]:
    """Every block by name; the routers are watched on held-out batches."""
    seen: dict[str, list[Routing]] = {name: [] for name in tomoe.gates.blocks}
    for batch in batches:
        for name, routing in tomoe.run(batch, masks)[1].items():
            seen[name].append(routing)
    return {
        name: block_report(
            masks[name].bool(),
            Routing(torch.cat([one.chosen for one in some]), torch.cat([one.probabilities for one in some])),
        )
        for name, some in seen.items()
    }


def active_mean(config: ModelConfig, blocks: dict[str, BlockReport]) -> float:
    """Prunable numbers that a real token meets on average: the widest experts' share is `model_size(config).active`."""
    per_channel = 2 * config.width + 1
    return model_size(config).active - sum(
        per_channel * (max(block.widths) - block.mean_width) for block in blocks.values()
    )


def record(config: ModelConfig, blocks: dict[str, BlockReport], gap: NoiseGap) -> dict[str, object]:
    """All of it as JSON, for the card."""
    size: ModelSize = model_size(config)
    return {
        **size.record(),
        "active_mean": round(active_mean(config, blocks)),
        "blocks": {name: asdict(block) for name, block in blocks.items()},
        "noise": asdict(gap),
    }

"""Which units stay: the trainable generator of decisions, and the rules that turn scores into masks of a given size.

The generator (ATP, Lu et al. 2024, arXiv 2412.14426; sizes as in the authors' code) is a small Transformer over the
sequence of the network's layers. Its input is one fixed vector per layer, orthogonal and never trained; its output is a
logit for each unit. So decisions of different layers are made together, and what is trained is how, not a number for
each unit. `LogitTable` is that plain table of numbers, for comparison.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from model.compression.sampling import gumbel_sigmoid
from model.compression.structures import Structure, prunable_parameters

_HEAD_DEVIATION = 1e-3
"""Of the weights of the heads at first: logits near 0, so that everything is kept, yet every weight has a gradient."""


class DecisionGenerator(nn.Module):
    """Logits of all units from fixed vectors of the layers.

    Args:
        structures: what is decided about.
        width, heads, hidden, blocks: of the Transformer over the layers.

    Seed torch before, as weights and vectors are drawn.
    """

    vectors: Tensor

    def __init__(
        self, structures: Sequence[Structure], width: int = 64, heads: int = 4, hidden: int = 256, blocks: int = 2
    ) -> None:
        super().__init__()
        layers = list(dict.fromkeys(structure.layer for structure in structures))
        self._places = [(structure.name, layers.index(structure.layer)) for structure in structures]
        self.register_buffer("vectors", nn.init.orthogonal_(torch.empty(len(layers), width)))
        block = nn.TransformerEncoderLayer(width, heads, hidden, dropout=0.0, batch_first=True)
        self.body = nn.TransformerEncoder(block, blocks, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.heads = nn.ModuleList(nn.Linear(width, structure.units, bias=False) for structure in structures)
        for head in self.heads:
            nn.init.normal_(head.weight, std=_HEAD_DEVIATION)  # type: ignore[arg-type]  # a linear map has one

    def forward(self) -> dict[str, Tensor]:
        """Logits by structure, (units,) each."""
        states = self.norm(self.body(self.vectors[None]))[0]  # (layers, width)
        return {name: head(states[layer]) for (name, layer), head in zip(self._places, self.heads, strict=True)}


class LogitTable(nn.Module):
    """A free logit for each unit: what the generator is compared with."""

    def __init__(self, structures: Sequence[Structure]) -> None:
        super().__init__()
        self._names = [structure.name for structure in structures]
        self.logits = nn.ParameterList(torch.zeros(structure.units) for structure in structures)

    def forward(self) -> dict[str, Tensor]:
        """Logits by structure, (units,) each."""
        return dict(zip(self._names, self.logits, strict=True))


def draw_decisions(logits: Mapping[str, Tensor], rng: torch.Generator) -> dict[str, Tensor]:
    """Soft decisions by structure, with fresh noise and a gradient."""
    return {name: gumbel_sigmoid(values, rng) for name, values in logits.items()}


def keep_best(structures: Sequence[Structure], scores: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Bool masks that keep the units of the highest scores, over all structures, down to a share of the parameters.

    Units are taken in the order of their scores until the next one would lead further from the target than stopping.
    Each structure keeps its best unit whatever its score. The same scores always give the same masks.

    Args:
        scores: by structure, (units,).
        share: of all prunable parameters, in (0, 1].

    Raises:
        ValueError: the share is outside (0, 1], or less than the one unit of each structure needs.
    """
    if not 0 < share <= 1:
        raise ValueError(f"the kept share {share} is outside (0, 1]")
    values = [scores[structure.name].detach().double().cpu() for structure in structures]
    order = torch.cat(values)
    costs = torch.cat([torch.full((one.units,), one.unit_parameters, dtype=torch.float64) for one in structures])
    starts = torch.tensor([0, *(one.units for one in structures)]).cumsum(0)[:-1]
    first = torch.stack([start + value.argmax() for start, value in zip(starts, values, strict=True)])
    target = share * prunable_parameters(structures)
    if float(costs[first].sum()) > target:
        raise ValueError(f"a kept share of {share} is less than one unit of each structure")
    order[first] = float("inf")
    ranking = order.argsort(descending=True, stable=True)
    missing = (costs[ranking].cumsum(0) - target).abs()
    kept = torch.zeros(len(order), dtype=torch.bool)
    kept[ranking[: int(missing.argmin()) + 1]] = True
    return {
        structure.name: kept[start : start + structure.units]
        for structure, start in zip(structures, starts.tolist(), strict=True)
    }


def keep_evenly(structures: Sequence[Structure], scores: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Bool masks that keep the same share of every structure: its units of the highest scores, at least one.

    Raises:
        ValueError: the share is outside (0, 1].
    """
    ranks = {}
    for structure in structures:
        order = scores[structure.name].detach().double().cpu().argsort(descending=True, stable=True)
        places = torch.empty(structure.units, dtype=torch.float64)
        places[order] = torch.arange(structure.units, dtype=torch.float64)
        ranks[structure.name] = -(places + 0.5) / structure.units
    return keep_best(structures, ranks, share)

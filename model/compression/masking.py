"""A denoiser in which units are switched off by masks and changed by low-rank updates, before anything is cut.

Only rows are masked, with their biases: a hidden unit, a value or a query that is zero carries nothing on, as GELU of 0
is 0 and attention mixes values linearly. For a weight W with its low-rank change U D and the mask s of its rows, ATP
has two ways to run (Lu et al. 2024, arXiv 2412.14426):

    deciding   (W + U D) s       what a cut would leave; for decisions, evaluation, and the comparison with the cut
    tuning     W s + U D         the change is not masked, so that a unit that is off now can still learn and come back

Both are the same once the changes of removed units are zero, which `shrink` enforces.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from model.adapters import AdapterShape, LowRank, attach
from model.architecture import TupleDenoiser
from model.compression.structures import Masks, Structure, denoiser_structures


class RowMask(nn.Module):
    """Multiplies rows, or entries of a bias, by a mask; without one it changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.mask: Tensor | None = None

    def forward(self, original: Tensor) -> Tensor:
        """The masked weight, (outputs, inputs), or bias, (outputs,)."""
        if self.mask is None:
            return original
        mask = self.mask.to(original)
        return original * (mask[:, None] if original.ndim == 2 else mask)


class MaskedDenoiser:
    """A copy of a denoiser whose units can be switched; `rank` 0 leaves the low-rank changes out.

    Attributes:
        denoiser: the copy; low-rank changes, biases and norms of its blocks are trained (`model.adapters`), no more.
        structures: its prunable units.

    Seed torch before, as the changes are drawn.
    """

    def __init__(self, denoiser: TupleDenoiser, rank: int = 0) -> None:
        self.denoiser = copy.deepcopy(denoiser)
        self.structures = denoiser_structures(denoiser.config)
        linears = {name: module for name, module in self.denoiser.named_modules() if isinstance(module, nn.Linear)}
        rows = {side.module: structure.name for structure in self.structures for side in structure.sides if side.rows}
        # In this order a weight is masked, changed, and masked again; of the two masks one is set at a time.
        self._before = {name: _add(linears[name], "weight", RowMask()) for name in rows}
        self._biases = {name: _add(linears[name], "bias", RowMask()) for name in rows}
        if rank:
            attach(self.denoiser, AdapterShape(rank, ("encoder", "decoder")))
        self._after = {name: _add(linears[name], "weight", RowMask()) for name in rows}
        self._changes = {name: change for name, module in linears.items() if (change := _low_rank(module)) is not None}

    def show(self, masks: Masks | None, *, tuning: bool = False) -> None:
        """Switch units by masks, soft ones with their gradient; None shows the dense model.

        Args:
            tuning: leave low-rank changes unmasked, as they are trained; else they are masked too.
        """
        for structure in self.structures:
            for side in (side for side in structure.sides if side.rows):
                mask = None if masks is None else side.expand(masks[structure.name])
                self._before[side.module].mask = mask if tuning else None
                self._after[side.module].mask = None if tuning else mask
                self._biases[side.module].mask = mask

    @torch.no_grad()
    def group_norms(self) -> dict[str, Tensor]:
        """How large the low-rank change of each unit is, by structure, (units,): the 2-norm over its group.

        A group is all of one unit in the coupled changes: rows of `up` where the unit is an output, columns of `down`
        where it is an input.
        """
        norms = {}
        for structure in self.structures:
            squares = [part.square().sum((0, 2)) for part in self._groups(structure)]
            norms[structure.name] = torch.stack(squares).sum(0).sqrt()
        return norms

    @torch.no_grad()
    def shrink(self, masks: Masks, amount: float) -> None:
        """One proximal step of the group lasso on the changes of removed units.

        Each group becomes shorter by `amount` times the share of all removed units that its structure holds, and
        exactly zero where it is shorter than that.
        """
        removed = sum(int((masks[structure.name] == 0).sum()) for structure in self.structures)
        norms = self.group_norms()
        for structure in self.structures:
            out = masks[structure.name] == 0
            if not bool(out.any()):
                continue
            norm = norms[structure.name]
            step = amount * int(out.sum()) / removed
            scale = torch.where(out.to(norm.device), (norm - step).clamp_min(0) / norm.clamp_min(1e-20), 1.0)
            for part in self._groups(structure):
                part.mul_(scale[None, :, None])

    def _groups(self, structure: Structure) -> list[Tensor]:
        """Views of the coupled changes of a structure, each (·, units, ·)."""
        views = []
        for side in structure.sides:
            change = self._changes[side.module]
            if side.rows:  # (copies * units, rank)
                views.append(change.up.detach().view(side.copies, structure.units, -1))
            else:  # (rank, copies * units); the copies go with the rank
                down = change.down.detach()
                views.append(down.view(down.shape[0] * side.copies, structure.units, 1))
        return views

    def merged(self) -> TupleDenoiser:
        """A plain denoiser with the changes added to the weights and nothing masked, without gradients."""
        plain = TupleDenoiser(self.denoiser.config)
        self.show(None)
        weights = {}
        for name in plain.state_dict():
            module, _, parameter = name.rpartition(".")
            weights[name] = getattr(self.denoiser.get_submodule(module), parameter).detach()
        plain.load_state_dict(weights, strict=True)
        return plain.to(next(self.denoiser.parameters()).dtype).eval().requires_grad_(False)


def _add(module: nn.Linear, name: str, mask: RowMask) -> RowMask:
    parametrize.register_parametrization(module, name, mask)
    return mask


def _low_rank(module: nn.Linear) -> LowRank | None:
    return next((one for one in module.modules() if isinstance(one, LowRank)), None)

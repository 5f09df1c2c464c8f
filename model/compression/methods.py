"""Ways to compress by name, and the examples they learn from; each gives a denoiser and the masks to cut it by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from model.architecture import TupleDenoiser
from model.compression.atp import ATPOptions, OnLog, Pruned, prune
from model.compression.baselines import BASELINES, recover
from model.compression.structures import denoiser_structures, kept_share
from model.config import TrainingConfig
from model.corpus import Table
from model.dataset import ExampleFactory
from model.errors import InputError
from model.pretraining import CORRUPTION
from model.serialization import TupleSerializer

_DECIDING = 4
"""Of every so many repositories, one is kept for the decisions, which learn from tables that tuning does not see."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Examples of the two parts of a run, of different repositories."""

    tuning: ExampleFactory
    deciding: ExampleFactory


def make_sources(tables: Sequence[Table], serializer: TupleSerializer, training: TrainingConfig) -> Sources:
    """Split training tables by repository.

    Raises:
        InputError: there are not enough of them.
    """
    repositories = sorted({table.repository for table in tables if len(table) >= 8})
    if len(repositories) < 2:
        raise InputError("compression needs training tables of at least two repositories", field="corpus")
    chosen = set(repositories[::_DECIDING])
    parts = [[table for table in tables if (table.repository in chosen) == deciding] for deciding in (False, True)]
    tuning, deciding = (ExampleFactory(part, serializer, training, CORRUPTION) for part in parts)
    return Sources(tuning, deciding)


Method = Callable[[TupleDenoiser, Sources, ATPOptions, OnLog | None], Pruned]


def _atp(denoiser: TupleDenoiser, sources: Sources, options: ATPOptions, on_log: OnLog | None) -> Pruned:
    return prune(denoiser, sources.tuning, sources.deciding, options, on_log)


def _varied(**changes: bool) -> Method:
    def method(denoiser: TupleDenoiser, sources: Sources, options: ATPOptions, on_log: OnLog | None) -> Pruned:
        return _atp(denoiser, sources, replace(options, **changes), on_log)

    return method


def _untuned(name: str) -> Method:
    def method(denoiser: TupleDenoiser, sources: Sources, options: ATPOptions, on_log: OnLog | None) -> Pruned:
        masks = BASELINES[name](denoiser, sources.tuning, options.keep)
        share = kept_share(denoiser_structures(denoiser.config), masks).item()
        return Pruned(denoiser, masks, {"tuning_steps": 0, "kept_share": share})

    return method


def _two_stage(name: str) -> Method:
    def method(denoiser: TupleDenoiser, sources: Sources, options: ATPOptions, on_log: OnLog | None) -> Pruned:
        masks = BASELINES[name](denoiser, sources.tuning, options.keep)
        return recover(denoiser, masks, sources.tuning, options.rank, on_log)

    return method


METHODS: dict[str, Method] = {
    "atp": _atp,
    "atp, free logits": _varied(generator=False),
    "atp, frozen generator": _varied(trained=False),
    "atp, no proximal step": _varied(proximal=False),
    **{name: _untuned(name) for name in BASELINES},
    **{f"{name} then lora": _two_stage(name) for name in BASELINES},
}
"""ATP, its ablations, one-shot masks without tuning, and the same followed by tuning (two stages)."""


def is_atp(name: str) -> bool:
    """Whether a method spends a part of its forward and backward passes on decisions."""
    return name.startswith("atp")

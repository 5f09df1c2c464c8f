"""`python -m model.compression.expert_speed`: a dense feed-forward block against its experts, by tokens in a call.

    python -m model.compression.expert_speed --experts FOLDER      # a checkpoint that model.compression made

One run, all ways in turn round after round, so that whatever else the machine does falls on all alike; only ratios to
the dense block are given. From them follows when the experts' own matrices are to be used (`Crossover`).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from model.architecture import FeedForward, TupleDenoiser
from model.checkpoint import load_checkpoint
from model.compression.experts import Crossover, ExpertFeedForward

COUNTS = (1, 8, 64, 512)


@dataclass(frozen=True, slots=True)
class SpeedRow:
    """Times of one call as shares of the dense block's, medians over the rounds.

    Attributes:
        tokens: tokens in a call.
        masked: all channels of the union are read, and what is not the expert's is zeroed.
        packed: each expert reads its tokens with matrices of its own.
    """

    tokens: int
    masked: float
    packed: float


def crossover_of(rows: Sequence[SpeedRow]) -> Crossover:
    """Packed up to the count to which, and from the count from which, packed was the faster at every measured one.

    Args:
        rows: by tokens, ascending.
    """
    faster = [row.packed < row.masked for row in rows]
    few = faster.index(False) if False in faster else len(rows)
    many = len(rows) - (faster[::-1].index(False) if False in faster else len(rows))
    up_to = rows[few - 1].tokens if few else 0
    return Crossover(up_to, rows[many].tokens if many < len(rows) else sys.maxsize)


def set_crossover(denoiser: TupleDenoiser, crossover: Crossover) -> None:
    """Let every block of experts follow a rule."""
    for module in denoiser.modules():
        if isinstance(module, ExpertFeedForward):
            module.crossover = crossover


@torch.inference_mode()
def measure(
    blocks: Sequence[tuple[FeedForward, ExpertFeedForward]],
    states: Callable[[int], Tensor],
    counts: Sequence[int] = COUNTS,
    rounds: int = 30,
) -> list[SpeedRow]:
    """Time pairs of a dense block and its experts, routing included; every round takes all pairs and all ways.

    Args:
        states: makes that many tokens, (tokens, width).
    """
    rows = []
    for count in counts:
        times: dict[str, list[float]] = {"dense": [], "masked": [], "packed": []}
        tokens = states(count)
        for turn in range(rounds + 2):
            one = _round(blocks, tokens)
            if turn >= 2:  # the first ones copy the matrices
                for name, seconds in one.items():
                    times[name].append(seconds)
        middle = {name: median(some) for name, some in times.items()}
        rows.append(SpeedRow(count, middle["masked"] / middle["dense"], middle["packed"] / middle["dense"]))
    return rows


def _round(blocks: Sequence[tuple[FeedForward, ExpertFeedForward]], tokens: Tensor) -> Mapping[str, float]:
    times = {"dense": 0.0, "masked": 0.0, "packed": 0.0}
    for dense, experts in blocks:
        ways: dict[str, Callable[[], Tensor]] = {
            "dense": lambda: dense(tokens),  # noqa: B023  called at once
            "masked": lambda: experts.read_masked(tokens, experts.route(tokens)),  # noqa: B023
            "packed": lambda: experts.read_packed(tokens, experts.route(tokens)),  # noqa: B023
        }
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            times[name] += time.perf_counter() - began
    return times


def pairs_of(dense: TupleDenoiser, routed: TupleDenoiser) -> list[tuple[FeedForward, ExpertFeedForward]]:
    """Every block of experts with the dense one that it was made of."""
    pairs = []
    for name, experts in routed.named_modules():
        if isinstance(experts, ExpertFeedForward):
            block = dense.get_submodule(name)
            assert isinstance(block, FeedForward)
            pairs.append((block, experts))
    return pairs


def to_markdown(rows: Sequence[SpeedRow]) -> str:
    """A table of ratios; the dense block is 1."""
    lines = ["| tokens in a call | dense | union, masked | experts, packed |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {row.tokens} | 1 | {row.masked:.2f} | {row.packed:.2f} |" for row in rows)])


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; gives 0."""
    parser = argparse.ArgumentParser(prog="python -m model.compression.expert_speed")
    parser.add_argument("--dense", type=Path, help="the dense checkpoint; default: the weights that ship")
    parser.add_argument("--experts", type=Path, required=True, help="the checkpoint with experts made of it")
    parser.add_argument("--rounds", type=int, default=30, help="rounds for each count of tokens")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    dense = load_checkpoint(options.dense, precision="float32").denoiser
    routed = load_checkpoint(options.experts, precision="float32").denoiser
    rng = torch.Generator().manual_seed(0)
    width = dense.config.width
    rows = measure(
        pairs_of(dense, routed), lambda count: torch.randn(count, width, generator=rng), COUNTS, options.rounds
    )
    print(to_markdown(rows))
    print(crossover_of(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What a compressed model loses, measured beside the dense one, and whether it may be published.

Both models judge the same corrupted windows of validation tables (`model.pretraining.validate`): how many masked cells
are written exactly as they were, and how well wrong cells are found. An interval is a paired bootstrap over windows.
Whoever compresses states the loss that is acceptable; a model that loses more is not written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from model.architecture import TupleDenoiser
from model.config import CorruptionConfig, TrainingConfig
from model.corpus import Table
from model.dataset import ExampleFactory
from model.errors import ModelError
from model.pretraining import Validation, validate
from model.serialization import TupleSerializer

MEASURES = {
    "fill_exact_match": "masked cells, exact match",
    "repair_exact_match": "repairs, exact match",
    "detection_best_f1": "detection, best F1",
    "detection_average_precision": "detection, average precision",
}
DECISIVE = ("fill_exact_match", "detection_best_f1")
"""Of these a model may not lose more than what was stated."""

_RESAMPLES = 1000


class RefusedError(ModelError):
    """The compressed model loses more than what was stated as acceptable; it is not published."""


@dataclass(frozen=True, slots=True)
class Judging:
    """What models are judged on: so many corrupted windows of validation tables, the same ones for all.

    Attributes:
        windows: how many windows; each is a table of its own, with `examples` of its tuples.
        context_size, max_tokens: as in `TrainingConfig`.
        seed: of the windows.
    """

    windows: int = 60
    examples: int = 8
    context_size: int = 2
    max_tokens: int = 256
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """One measure in per cent: of the dense and the compressed model, and of the difference, each with 95 % limits."""

    measure: str
    dense: tuple[float, float, float]
    compressed: tuple[float, float, float]
    difference: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Certificate:
    """All measures of two models on the same windows."""

    lines: tuple[Line, ...]
    judging: Judging

    def check(self, max_loss: float) -> None:
        """Refuse a model that loses more than `max_loss` points of a decisive measure.

        Raises:
            RefusedError: it names the measure and both figures.
        """
        for line in self.lines:
            if line.measure in DECISIVE and line.difference[0] < -max_loss:
                raise RefusedError(
                    f"not published: {MEASURES[line.measure]} falls from {line.dense[0]:.1f} to "
                    f"{line.compressed[0]:.1f} %, by more than {max_loss:g} points"
                )

    def record(self) -> dict[str, object]:
        """As JSON."""
        return asdict(self)

    def to_markdown(self) -> str:
        """A table with one measure a line."""
        rows = ["| % [95 % interval] | dense | compressed | difference |", "|---|---|---|---|"]
        rows += [
            f"| {MEASURES[one.measure]} | {_text(one.dense)} | {_text(one.compressed)} | {_text(one.difference)} |"
            for one in self.lines
        ]
        return "\n".join(rows)


def _text(figure: tuple[float, float, float]) -> str:
    return "{:.1f} [{:.1f}, {:.1f}]".format(*figure)


def judge_windows(
    denoiser: TupleDenoiser, tables: Sequence[Table], serializer: TupleSerializer, judging: Judging
) -> list[Validation]:
    """What a denoiser says of each window, in float32 on a CPU."""
    training = TrainingConfig(
        seed=judging.seed,
        batch_tokens=max(4096, judging.max_tokens),
        max_tokens=judging.max_tokens,
        context_size=judging.context_size,
        episodes_per_chunk=1,
        examples_per_episode=judging.examples,
        derived_rate=0.0,
        exchanged_words_rate=0.0,
        plain_names_rate=0.0,
    )
    source = ExampleFactory(
        tables, TupleSerializer(serializer.tokenizer, denoiser.config), training, CorruptionConfig()
    )
    on_cpu = next(denoiser.parameters()).device.type == "cpu"
    precision = torch.float32 if on_cpu else torch.bfloat16
    return [validate(denoiser, source, [window], precision) for window in range(judging.windows)]


def compare(dense: Sequence[Validation], compressed: Sequence[Validation], judging: Judging) -> Certificate:
    """The certificate of two models that judged the same windows; of a difference, windows are drawn in pairs."""
    weights = _draws(len(dense), judging.seed)
    before, after = (figures(one, weights) for one in (dense, compressed))
    lines = [
        Line(name, _interval(before[name]), _interval(after[name]), _interval(after[name] - before[name]))
        for name in MEASURES
    ]
    return Certificate(tuple(lines), judging)


def measures(validations: Sequence[Validation], judging: Judging) -> dict[str, tuple[float, float, float]]:
    """Every measure of one model in per cent, with 95 % limits."""
    found = figures(validations, _draws(len(validations), judging.seed))
    return {name: _interval(values) for name, values in found.items()}


def _draws(windows: int, seed: int) -> np.ndarray:
    """How often each draw has each window, (1 + _RESAMPLES, windows); the first draw is every window once."""
    draws = np.random.default_rng(seed).multinomial(windows, np.full(windows, 1 / windows), _RESAMPLES)
    return np.vstack([np.ones(windows), draws]).astype(np.float64)


def figures(validations: Sequence[Validation], weights: np.ndarray) -> dict[str, np.ndarray]:
    """Every measure in per cent, (draws,): as `Validation.metrics` has them of windows that are drawn several times.

    Args:
        weights: how often each draw has each window, (draws, windows).
    """
    wrong = np.concatenate([one.wrong for one in validations]) > 0
    logits = np.concatenate([one.logits for one in validations])
    window = np.repeat(np.arange(len(validations)), [len(one.wrong) for one in validations])
    order = np.argsort(-logits, kind="stable")
    last = np.append(np.diff(logits[order]) != 0, True)  # cells of one logit are flagged together
    cells = weights[:, window[order]]  # (draws, cells)
    flagged = cells.cumsum(1)[:, last]
    found = (cells * wrong[order]).cumsum(1)[:, last]
    precision = found / np.maximum(flagged, 1e-12)
    recall = found / np.maximum(found[:, -1:], 1e-12)
    measures = {
        "detection_best_f1": (2 * precision * recall / (precision + recall + 1e-9)).max(1),
        "detection_average_precision": (np.diff(recall, axis=1, prepend=0.0) * precision).sum(1),
    }
    for task in ("fill", "repair"):
        hits = weights @ np.array([sum(one.hits[task]) for one in validations])
        measures[f"{task}_exact_match"] = hits / np.maximum(weights @ [len(one.hits[task]) for one in validations], 1)
    return {name: 100 * measures[name] for name in MEASURES}


def _interval(values: np.ndarray) -> tuple[float, float, float]:
    low, high = np.quantile(values[1:], (0.025, 0.975)).tolist()
    return round(float(values[0]), 2), round(low, 2), round(high, 2)

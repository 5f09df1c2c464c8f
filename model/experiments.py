"""`python -m model.experiments`: what each choice of the design is worth, each trained the same from the same start.

    python -m model.experiments --corpus corpus.parquet --steps 600 --report experiments.json [variant …]

Every variant changes one thing. With --checkpoint nothing is trained: the weights given are judged with each choice of
context. Otherwise all are trained on the same windows for the same number of steps of the same size, and
judged on the same windows of validation tables, whose repositories training does not touch. An interval is a bootstrap
over those windows.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from model.architecture import TupleDenoiser
from model.checkpoint import load_checkpoint
from model.config import CorruptionConfig, ModelConfig, TrainingConfig
from model.corpus import Table
from model.dataset import ExampleFactory
from model.packing import corpus_path, read_corpus
from model.pretraining import CORRUPTION, Validation, for_validation, validate
from model.serialization import TupleSerializer
from model.tokenizer import TupleTokenizer
from model.training import Trainer
from model.tuples import Relation

logger = logging.getLogger(__name__)

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "typing": ("keyboard_typo", "letter_inserted", "letter_deleted", "letters_transposed", "letter_repeated",
               "letter_replaced", "ocr_confusion"),
    "writing": ("case_changed", "blanks_changed", "punctuation_changed", "words_changed", "abbreviation", "truncated",
                "note_appended", "mojibake"),
    "formats": ("unit_changed", "number_format", "date_format", "time_format", "phone_format"),
    "slips": ("number_slip", "date_slip", "time_slip"),
    "wrong places": ("row_swap", "column_swap", "value_appended", "violated_dependency"),
    "missing": ("missing",),
}  # fmt: skip
"""Kinds of error that are left out together."""

_RESAMPLES = 200


@dataclass(frozen=True, slots=True)
class Variant:
    """One change: of the network's shape, of training, of corruption, or of which tuples stand behind a target."""

    shape: Mapping[str, int] = field(default_factory=dict)
    training: Mapping[str, float] = field(default_factory=dict)
    corruption: Mapping[str, float] = field(default_factory=dict)
    neighbours: str = "agreement"


VARIANTS: Mapping[str, Variant] = {
    "as shipped": Variant(),
    "no context": Variant(training={"context_size": 0}),
    "2 context tuples": Variant(training={"context_size": 2}),
    "8 context tuples": Variant(training={"context_size": 8}),
    "4 random tuples": Variant(neighbours="random"),
    "4 tuples that stand beside": Variant(neighbours="beside"),
    "width 128": Variant(shape={"width": 128, "heads": 4, "feed_forward": 512}),
    "width 384": Variant(shape={"width": 384, "heads": 12, "feed_forward": 1536}),
    "3 encoder layers": Variant(shape={"encoder_layers": 3}),
    "9 encoder layers": Variant(shape={"encoder_layers": 9}),
    "1 decoder layer": Variant(shape={"decoder_layers": 1}),
    "no derived attribute": Variant(training={"derived_rate": 0.0}),
    "no exchanged words": Variant(training={"exchanged_words_rate": 0.0}),
    "no duplicates, no match loss": Variant(training={"match_weight": 0.0}, corruption={"duplicate_rate": 0.0}),
    "no conflicting sources": Variant(corruption={"conflict_rate": 0.0}),
    "no drift, no placeholders": Variant(corruption={"drift_rate": 0.0, "placeholder_rate": 0.0}),
    **{
        f"no errors of {name}": Variant(corruption=dict.fromkeys(kinds, 0.0))
        for name, kinds in FAMILIES.items()
    },
}  # fmt: skip
"""The first is what the others are compared with: the defaults, with four context tuples as the service has them."""


class ExperimentFactory(ExampleFactory):
    """Examples whose context is chosen in one of three ways; for validation with all of it, never with less."""

    neighbours = "agreement"
    whole = False

    def contexts(self, relation: Relation, targets: np.ndarray) -> np.ndarray:
        """Tuples that agree (as the service chooses), random ones, or those that stand around the target."""
        size = min(self.training.context_size, len(relation) - 1)
        if self.neighbours == "agreement" or size < 1:
            return super().contexts(relation, targets)
        chosen = np.zeros((len(targets), size), dtype=np.int32)
        for place, target in enumerate(targets.tolist()):
            others = [row for row in range(len(relation)) if row != target]
            if self.neighbours == "random":
                chosen[place] = random.Random(target).sample(others, size)
            else:
                chosen[place] = sorted(others, key=lambda row: abs(row - target))[:size]  # noqa: B023 used at once
        return chosen

    def context_size(self, available: int, rng: random.Random) -> int:
        """All that is available where the whole context is asked for."""
        drawn = super().context_size(available, rng)
        return available if self.whole else drawn


def train(
    variant: Variant, tables: Sequence[Table], tokenizer: TupleTokenizer, training: TrainingConfig, workers: int
) -> TupleDenoiser:
    """One variant, trained from random weights."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = ModelConfig(**variant.shape)  # type: ignore[arg-type]
    training = replace(training, **variant.training)  # type: ignore[arg-type]
    corruption = replace(CORRUPTION, **variant.corruption)  # type: ignore[arg-type]
    torch.manual_seed(training.seed)
    denoiser = TupleDenoiser(config)
    factory = ExperimentFactory(tables, TupleSerializer(tokenizer, config), training, corruption)
    factory.neighbours = variant.neighbours
    with tempfile.TemporaryDirectory() as folder:
        Trainer(denoiser, factory, Path(folder), device, workers).run()
    return denoiser


def judge(
    denoiser: TupleDenoiser,
    variant: Variant,
    valid: Sequence[Table],
    tokenizer: TupleTokenizer,
    training: TrainingConfig,
    windows: int,
) -> list[Validation]:
    """What the denoiser says of each validation window.

    Whatever was left out in training, it is judged on every kind of error, on real tables as they are, and with all the
    context that the variant has.
    """
    training = replace(training, **variant.training)  # type: ignore[arg-type]
    plain = replace(for_validation(training, 1), derived_rate=0.0, exchanged_words_rate=0.0, plain_names_rate=0.0)
    factory = ExperimentFactory(valid, TupleSerializer(tokenizer, denoiser.config), plain, CorruptionConfig())
    factory.neighbours, factory.whole = variant.neighbours, True
    return [validate(denoiser, factory, [window]) for window in range(windows)]


def summarize(validations: Sequence[Validation]) -> dict[str, tuple[float, float, float]]:
    """Each figure with its 95 % interval over windows, in percent."""
    rng = np.random.default_rng(0)
    every = np.arange(len(validations))
    draws = [every, *(rng.choice(every, len(every)) for _ in range(_RESAMPLES))]
    figures: dict[str, list[float]] = {}
    for draw in draws:
        for name, value in _figures([validations[window] for window in draw]).items():
            figures.setdefault(name, []).append(100 * value)
    intervals = {name: np.quantile(values[1:], (0.025, 0.975)).tolist() for name, values in figures.items()}
    return {name: (values[0], *intervals[name]) for name, values in figures.items()}


def _figures(validations: Sequence[Validation]) -> dict[str, float]:
    metrics = Validation.together(validations).metrics()
    return {name: metrics[name] for name in ("detection_average_precision", "repair_exact_match", "fill_exact_match")}


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; gives 0."""
    options = _parse(argv)
    names = options.variants or [name for name in VARIANTS if not options.checkpoint or _is_context(VARIANTS[name])]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    tables, valid = read_corpus(corpus_path(options.corpus), options.max_rows)
    trained = load_checkpoint(options.checkpoint, precision="float32") if options.checkpoint else None
    tokenizer = trained.serializer.tokenizer if trained else TupleTokenizer.load(options.tokenizer)
    training = TrainingConfig(
        steps=options.steps, batch_tokens=options.batch_tokens, context_size=4,
        learning_rate=options.learning_rate, warmup_steps=options.steps // 10,
    )  # fmt: skip
    rows = {}
    for name in names:
        began, variant = time.monotonic(), VARIANTS[name]
        denoiser = trained.denoiser if trained else train(variant, tables, tokenizer, training, options.workers)
        judged = judge(denoiser, variant, valid, tokenizer, training, options.windows)
        rows[name] = summarize(judged)
        logger.info("%s: %s, %.0f s", name, rows[name], time.monotonic() - began)
        options.report.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(_markdown(rows))
    return 0


def _is_context(variant: Variant) -> bool:
    """Whether the variant changes nothing but the context, so that given weights can be judged with it."""
    return not (variant.shape or variant.corruption or set(variant.training) - {"context_size"})


def _markdown(rows: Mapping[str, Mapping[str, tuple[float, float, float]]]) -> str:
    columns = list(next(iter(rows.values())))
    lines = ["| variant | " + " | ".join(column.replace("_", " ") for column in columns) + " |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    for name, figures in rows.items():
        cells = ("{:.1f} [{:.1f}, {:.1f}]".format(*figures[column]) for column in columns)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m model.experiments", description="Train and judge variants of the design, the same budget each."
    )
    parser.add_argument("variants", nargs="*", choices=[*VARIANTS, []], help="default: all of them")
    parser.add_argument("--corpus", help="a folder, or what model.packing made of it; default: RPT_CORPUS")
    parser.add_argument("--checkpoint", help="judge these weights with every choice of context, and train nothing")
    parser.add_argument("--tokenizer", type=Path, default=Path(__file__).parent / "checkpoints/default/tokenizer.json")
    parser.add_argument("--steps", type=int, default=600, help="optimizer steps of each variant")
    parser.add_argument("--batch-tokens", type=int, default=16384, help="encoder tokens of one step")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="peak of the schedule")
    parser.add_argument("--windows", type=int, default=200, help="validation windows")
    parser.add_argument("--workers", type=int, default=1, help="processes that make batches")
    parser.add_argument("--max-rows", type=int, default=600, help="rows kept of each table")
    parser.add_argument("--report", type=Path, default=Path("experiments.json"), help="figures as JSON")
    options = parser.parse_args(argv)
    unfit = [name for name in options.variants if options.checkpoint and not _is_context(VARIANTS[name])]
    if unfit:
        parser.error(f"--checkpoint trains nothing, and {unfit[0]!r} is a matter of training")
    return options


if __name__ == "__main__":
    sys.exit(main())

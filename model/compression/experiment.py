"""`python -m model.compression.experiment`: ATP beside simpler methods, each with the same passes over examples.

    python -m model.compression.experiment --corpus DIR --passes 200 --report compression.json [method …]

A pass is one batch forward and backward. ATP spends some on decisions, so it takes fewer steps of tuning than a method
that tunes alone. All start from the same weights, see the same tables, and are cut and judged in the same way.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from model.architecture import TupleDenoiser
from model.checkpoint import Checkpoint, load_checkpoint
from model.compression.arguments import add_arguments, log_some, tuning_config
from model.compression.atp import ATPOptions
from model.compression.certificate import MEASURES, Judging, compare, judge_windows
from model.compression.cutting import cut
from model.compression.methods import METHODS, is_atp, make_sources
from model.compression.structures import model_size
from model.corpus import Table
from model.evaluation.held_out import validation_tables
from model.packing import corpus_path, read_training_tables
from model.pretraining import Validation

logger = logging.getLogger(__name__)

DEFAULT = ("random", "magnitude", "taylor", "random then lora", "magnitude then lora", "taylor then lora", "atp")


@dataclass(frozen=True, slots=True)
class Setting:
    """What all methods share; `options` are those of the command line."""

    dense: Checkpoint
    tables: Sequence[Table]
    valid: Sequence[Table]
    options: argparse.Namespace
    judging: Judging

    def judge(self, denoiser: TupleDenoiser) -> list[Validation]:
        """What a denoiser says of the validation windows."""
        return judge_windows(denoiser, self.valid, self.dense.serializer, self.judging)


def measure(setting: Setting, name: str, keep: float, seed: int, before: Sequence[Validation]) -> dict[str, Any]:
    """Run, cut and judge one method; gives its figures beside those of the dense model."""
    options = ATPOptions(keep=keep, rank=setting.options.rank, decision_rate=setting.options.decision_rate)
    passes = setting.options.passes
    steps = round(passes / (1 + options.decided)) if is_atp(name) else passes
    training = tuning_config(setting.options, steps, seed)
    sources = make_sources(setting.tables, setting.dense.serializer, training)
    began = time.monotonic()
    pruned = METHODS[name](setting.dense.denoiser, sources, options, log_some)
    smaller = cut(pruned.denoiser, pruned.masks)
    seconds = time.monotonic() - began
    certificate = compare(before, setting.judge(smaller), setting.judging)
    return {
        "method": name,
        "keep": keep,
        "seed": seed,
        "seconds": round(seconds),
        "size": model_size(smaller.config).record(),
        "story": pruned.story,
        "blocks": [asdict(one) for one in (*smaller.config.encoder_sizes, *smaller.config.decoder_sizes)],
        "lines": certificate.record()["lines"],
    }


def to_markdown(results: Sequence[dict[str, Any]]) -> str:
    """A table with one run a line; the dense model first."""
    rows = ["| kept | method | seed | " + " | ".join(MEASURES.values()) + " |", "|---" * (3 + len(MEASURES)) + "|"]
    if results:
        rows.append("| 100 % | dense | | " + " | ".join(_cell(line["dense"]) for line in results[0]["lines"]) + " |")
    for one in results:
        cells = " | ".join(_cell(line["compressed"]) for line in one["lines"])
        rows.append(f"| {100 * one['story']['kept_share']:.1f} % | {one['method']} | {one['seed']} | {cells} |")
    return "\n".join(rows)


def _cell(figure: tuple[float, float, float]) -> str:
    return "{:.1f} [{:.1f}, {:.1f}]".format(*figure)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; gives 0."""
    options = _parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    if options.threads:
        torch.set_num_threads(options.threads)
    corpus = corpus_path(options.corpus)
    dense = load_checkpoint(options.model, precision="float32")
    valid = validation_tables(corpus, dense, options.max_rows).tables
    judging = Judging(options.windows, context_size=options.context_size, max_tokens=options.max_tokens)
    tables = read_training_tables(corpus, options.max_rows)
    setting = Setting(dense, tables, valid, options, judging)
    before = setting.judge(dense.denoiser)
    results: list[dict[str, Any]] = []
    for keep in options.keep:
        for seed in options.seeds:
            for name in options.methods or DEFAULT:
                results.append(measure(setting, name, keep, seed, before))
                logger.info("%s: %s", name, {one["measure"]: one["compressed"] for one in results[-1]["lines"]})
                options.report.write_text(json.dumps(results, indent=1), encoding="utf-8")
    print(to_markdown(results))
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m model.compression.experiment", description="Compare ways to compress, the same passes each."
    )
    parser.add_argument("methods", nargs="*", choices=[*METHODS, []], help="default: ATP and one-shot masks")
    parser.add_argument(
        "--keep", type=float, nargs="+", default=[0.6], help="shares of the prunable parameters to keep"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one run of every method for each")
    parser.add_argument("--passes", type=int, default=400, help="batches that each method may go through")
    parser.add_argument("--report", type=Path, default=Path("compression.json"), help="figures as JSON")
    add_arguments(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())

"""`python -m model.compression`: a smaller checkpoint of a trained one, with a certificate of what it loses.

    python -m model.compression --method atp --keep 0.6 --corpus DIR --output DIR

The certificate is measured on validation tables, with the weights as they were written. A model that loses more than
`--max-loss` points is not published: its folder is not there at the end, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import torch

from model.checkpoint import load_checkpoint
from model.compression.arguments import add_arguments, log_some, tuning_config
from model.compression.atp import ATPOptions, batches
from model.compression.certificate import Certificate, Judging
from model.compression.cutting import cut
from model.compression.expert_export import make_experts
from model.compression.expert_training import ToMoEConfig
from model.compression.methods import METHODS, make_sources
from model.compression.publishing import publish
from model.errors import InputError, ModelError
from model.evaluation.held_out import validation_tables
from model.packing import corpus_path, read_training_tables

TOMOE = "tomoe"
"""Not among the methods that give masks to cut by: it gives experts."""


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; gives 0, or 1 where nothing was published."""
    options = _parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        certificate = _compress(options)
    except (ModelError, OSError, ValueError) as error:
        print(f"rpt compress: {error}", file=sys.stderr)
        return 1
    print(certificate.to_markdown())
    return 0


def _compress(options: argparse.Namespace) -> Certificate:
    output: Path = options.output
    if output.exists():
        raise InputError(f"{output} exists already", field="output")
    pruning = ATPOptions(keep=options.keep, rank=options.rank, decision_rate=options.decision_rate)
    training = tuning_config(options, options.steps, options.seed)
    corpus = corpus_path(options.corpus)
    dense = load_checkpoint(options.model, precision="float32")
    valid = validation_tables(corpus, dense, options.max_rows).tables
    sources = make_sources(read_training_tables(corpus, options.max_rows), dense.serializer, training)
    story = {"method": options.method, "keep": options.keep, "seed": options.seed}
    judging = Judging(windows=options.windows, seed=options.seed)
    if options.method == TOMOE:
        config = ToMoEConfig.for_short_runs(options.keep, options.seed)
        smaller = make_experts(dense.denoiser, islice(batches(sources.tuning), options.steps), config)
        story |= {"steps": options.steps, "experts": config.experts}
        return publish(output, smaller, dense, valid, story, judging, options.max_loss)
    pruned = METHODS[options.method](dense.denoiser, sources, pruning, log_some)
    smaller = cut(pruned.denoiser, pruned.masks)
    return publish(output, smaller, dense, valid, story | pruned.story, judging, options.max_loss)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="rpt compress", description="Make a smaller checkpoint of a trained one, and measure what it loses."
    )
    parser.add_argument(
        "--method", choices=[*METHODS, TOMOE], default="atp", help="default: atp; tomoe: experts; others: to compare"
    )
    parser.add_argument(
        "--keep", type=float, default=0.6, help="share of the prunable parameters that stay, or are active"
    )
    parser.add_argument("--output", type=Path, required=True, help="checkpoint folder to write; it must not exist")
    parser.add_argument("--max-loss", type=float, default=5.0, help="points of a measure that may be lost; default: 5")
    parser.add_argument("--steps", type=int, default=400, help="steps of tuning; decisions are frozen at six tenths")
    parser.add_argument("--seed", type=int, default=0, help="all randomness of the run follows from it")
    add_arguments(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())

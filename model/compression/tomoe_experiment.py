"""`python -m model.compression.tomoe_experiment`: a mixture of experts beside what it has to be better than.

    python -m model.compression.tomoe_experiment --corpus DIR --steps 200 --cells 120 --report tomoe.json

All systems have the frozen weights of one dense model and the same budget of active parameters:

    random router           the learned experts, with the choice left to chance
    random channels         experts of the learned widths, with the learned routers
    same experts, static    for all tokens the channels that most of the learned experts have; nothing more is trained
    one expert              static pruning by the same training, but for the union loss: one expert is its own union, so
                            that it would pull against the budget
    disjoint experts        balanced k-means clusters of the channels, about as many as keep the budget, with routers
                            trained as long and the learned cut of queries and keys

With --ablations the learned experts stand beside such as were trained without one of the losses instead.

Judged on validation tables that training did not see.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from model.architecture import TupleDenoiser
from model.checkpoint import Checkpoint, load_checkpoint
from model.compression.certificate import MEASURES, Judging, judge_windows, measures
from model.compression.cutting import save_cut
from model.compression.expert_export import export
from model.compression.expert_losses import binary_divergence, divergence
from model.compression.expert_report import block_reports, noise_gap, record
from model.compression.expert_training import ToMoEConfig
from model.compression.structures import model_size
from model.compression.tomoe import ToMoE, outputs
from model.config import TrainingConfig
from model.corpus import TRAINING_SHARDS, CorpusTable, corpus_folder, read_tables
from model.dataset import ExampleFactory, TrainingBatch, make_chunk
from model.evaluation.figures import EvaluationRow, EvaluationTable, Figure, Resampling, accuracy
from model.evaluation.held_out import validation_tables
from model.evaluation.imputation import ModelImputer, answer_all
from model.evaluation.reconstruction import MaskedTable, sample_masked_tables
from model.pretraining import CORRUPTION

logger = logging.getLogger(__name__)

TRAINING = TrainingConfig(batch_tokens=1024, max_tokens=512, episodes_per_chunk=8, context_size=4)
"""Small batches: a step then takes about a second on one core."""


@dataclass(frozen=True, slots=True)
class Judge:
    """What every system is judged on.

    Attributes:
        batches: corrupted windows of validation tables.
        masked: validation tables with hidden cells, which the model fills alone, without statistics.
        tables: validation tables whose windows are corrupted as those of a certificate; `judging` says how many.
    """

    checkpoint: Checkpoint
    batches: Sequence[TrainingBatch]
    masked: Sequence[MaskedTable]
    tables: Sequence[CorpusTable]
    judging: Judging = Judging()

    def row(self, label: str, denoiser: TupleDenoiser) -> EvaluationRow:
        """Exact match, a certificate's measures, distances to the dense model, loss of true answers, and sizes."""
        checkpoint = replace(self.checkpoint, denoiser=denoiser, config=denoiser.config)
        imputer = ModelImputer(checkpoint, "", use_statistics=False)
        answers = answer_all(imputer, [(table.relation, table.cells) for table in self.masked])
        truth = [true for table in self.masked for true in table.truth]
        matched = [answer == true for answer, true in zip(answers.values, truth, strict=True)]
        distance, detection, loss = self.distances(denoiser)
        size = model_size(denoiser.config)
        windows = measures(judge_windows(denoiser, self.tables, checkpoint.serializer, self.judging), self.judging)
        return EvaluationRow(
            label,
            {
                "exact match %": accuracy(matched, Resampling()),
                **{f"{MEASURES[name]} %": Figure(*figure, digits=1) for name, figure in windows.items()},
                "KL, tokens": Figure(distance, digits=3),
                "KL, cells": Figure(detection, digits=4),
                "loss": Figure(loss, digits=3),
                "active %": Figure(100 * size.active / model_size(self.checkpoint.config).prunable, digits=1),
                "stored M": Figure(size.stored / 1e6, digits=2),
                "MFLOP read": Figure(size.encoder_flops / 1e6, digits=2),
                "MFLOP written": Figure(size.decoder_flops / 1e6, digits=2),
                "cells/s": Figure(len(truth) / max(answers.seconds, 1e-9), digits=1),
            },
        )

    @torch.no_grad()
    def distances(self, denoiser: TupleDenoiser) -> tuple[float, float, float]:
        """KL to the dense model at written tokens and at judged cells, and the mean loss of true tokens."""
        sums = torch.zeros(3, dtype=torch.float64)
        counts = torch.zeros(3, dtype=torch.float64)
        for batch in self.batches:
            dense, found = outputs(self.checkpoint.denoiser, batch), outputs(denoiser, batch)
            true = -found.tokens.gather(1, batch.target_id[:, None]).mean()
            means = [divergence(dense.tokens, found.tokens), binary_divergence(dense.wrong, found.wrong), true]
            labels = torch.tensor([len(batch.target_id), len(batch.cell_index), len(batch.target_id)])
            sums += torch.stack(means).nan_to_num() * labels
            counts += labels
        distance, detection, loss = (sums / counts.clamp(min=1)).tolist()
        return distance, detection, loss


def training_batches(checkpoint: Checkpoint, tables: Sequence[CorpusTable], seed: int) -> Iterator[TrainingBatch]:
    """Batches without end, chunk after chunk, of windows that are corrupted as in pretraining."""
    factory = ExampleFactory(tables, checkpoint.serializer, replace(TRAINING, seed=seed), CORRUPTION)
    chunk = 0
    while True:
        yield from make_chunk(factory, chunk)
        chunk += 1


def balanced_clusters(weights: Tensor, clusters: int, seed: int) -> Tensor:
    """Masks of disjoint clusters of channels that differ by at most one in size, (clusters, channels) float32.

    K-means finds the centres; the channels nearest to a centre take its places first.

    Args:
        weights: what a channel reads, (channels, width).
    """
    rows = weights.detach().float().numpy()
    found = KMeans(clusters, n_init=1, random_state=seed).fit(rows)
    distances = found.transform(rows)  # (channels, clusters)
    sizes = [len(part) for part in np.array_split(np.arange(len(rows)), clusters)]
    masks, taken = torch.zeros(clusters, len(rows)), set()
    for place in np.argsort(distances, axis=None, kind="stable").tolist():
        channel, cluster = divmod(place, clusters)
        if channel not in taken and int(masks[cluster].sum()) < sizes[cluster]:
            masks[cluster, channel] = 1
            taken.add(channel)
    return masks


def disjoint_masks(tomoe: ToMoE, masks: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Disjoint experts beside the given cut of queries and keys; as many as have the given experts' mean width."""
    blocks = tomoe.gates.blocks
    widest = np.mean([int(masks[name].sum(1).max()) / masks[name].shape[1] for name in blocks])
    clusters = max(2, round(1 / float(widest)))
    made = {name: mask.float() for name, mask in masks.items()}
    for name, block in blocks.items():
        made[name] = balanced_clusters(block.dense.inner.weight, clusters, seed)
    return made


def common_masks(masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The static version of given experts: the channels that most of them have, as many as the widest has.

    Of channels that equally many have, the first are taken.
    """
    made = {name: mask.float() for name, mask in masks.items()}
    for name, mask in made.items():
        if len(mask) > 1:
            best = mask.sum(0).argsort(descending=True, stable=True)[: int(mask.sum(1).max())]
            made[name] = torch.zeros(1, mask.shape[1]).index_fill(1, best, 1.0)
    return made


def random_masks(masks: Mapping[str, Tensor], rng: torch.Generator) -> dict[str, Tensor]:
    """Experts of the same widths with channels at random, beside the given cut of queries and keys."""
    made = {name: mask.float() for name, mask in masks.items()}
    for name, mask in made.items():
        if len(mask) > 1:
            order = torch.rand(mask.shape, generator=rng).argsort(1).argsort(1)  # a place for each channel
            made[name] = (order < mask.sum(1, keepdim=True)).float()
    return made


ABLATIONS: Mapping[str, Callable[[ToMoEConfig], ToMoEConfig]] = {
    "no union loss": lambda config: replace(config, union_weight=0.0),
    "no balance loss": lambda config: replace(config, balance_weight=0.0),
    "no KL": lambda config: replace(config, divergence_weight=0.0, detection_weight=0.0),
}
"""Runs that go without one of the losses."""


class Experiment:
    """Trains and judges one system after the other, and keeps a report of what is done."""

    def __init__(self, judge: Judge, tables: Sequence[CorpusTable], config: ToMoEConfig, options: argparse.Namespace):
        self.judge = judge
        self.tables = tables
        self.config = config
        self.options = options
        self.rows: list[EvaluationRow] = []
        self.sizes: dict[str, object] = {}
        self.story = {"method": "tomoe", "steps": options.steps, **asdict(config), "sizes": self.sizes}

    def run(self) -> EvaluationTable:
        """All systems; the report is written after each."""
        dense = self.judge.checkpoint.denoiser
        self._judge("dense", dense)
        tomoe, masks, routed = self._learned("experts", self.config)
        if self.options.output:
            save_cut(self.options.output, routed, self.judge.checkpoint, self.story)
        self._judge(f"{self.config.experts} experts", routed)
        if self.options.ablations:
            self._ablate()
        else:
            self._rival(tomoe, masks)
        return self.table()

    def _learned(self, label: str, config: ToMoEConfig) -> tuple[ToMoE, dict[str, Tensor], TupleDenoiser]:
        """Generated experts, trained and exported; what they are like is kept in `sizes`."""
        dense = self.judge.checkpoint.denoiser
        tomoe = self._trained(label, ToMoE(dense, config))
        masks = tomoe.decide()
        routed = export(dense, masks, tomoe.gates.routers())
        gap = noise_gap(tomoe, masks, self.judge.batches)
        self.sizes[label] = record(routed.config, block_reports(tomoe, masks, self.judge.batches), gap)
        return tomoe, masks, routed

    def _ablate(self) -> None:
        """Experts that learned without one of the losses."""
        for label, without in ABLATIONS.items():
            self._judge(label, self._learned(label, without(self.config))[2])

    def _rival(self, tomoe: ToMoE, masks: Mapping[str, Tensor]) -> None:
        """What the learned experts must beat."""
        dense, routers = self.judge.checkpoint.denoiser, tomoe.gates.routers()
        rng = torch.Generator().manual_seed(self.config.seed)
        drawn = {name: torch.randn(router.shape, generator=rng) for name, router in routers.items()}
        self._judge("random router", export(dense, masks, drawn))
        self._judge("random channels", export(dense, random_masks(masks, rng), routers))
        common = common_masks(masks)
        alone = {name: torch.zeros(1, router.shape[1]) for name, router in routers.items()}
        self._judge("same experts, static", export(dense, common, alone))
        one = self._trained("one expert", ToMoE(dense, replace(self.config, experts=1, union_weight=0.0)))
        self._judge("one expert (static)", export(dense, one.decide(), one.gates.routers()))
        disjoint = disjoint_masks(tomoe, masks, self.config.seed)
        clusters = max(len(mask) for mask in disjoint.values())
        split = ToMoE(dense, replace(self.config, experts=clusters), disjoint)
        split = self._trained(f"{clusters} disjoint", split)
        self._judge(f"{clusters} disjoint experts (k-means)", export(dense, disjoint, split.gates.routers()))

    def _trained(self, label: str, tomoe: ToMoE) -> ToMoE:
        began, steps = time.monotonic(), self.options.steps
        batches = islice(training_batches(self.judge.checkpoint, self.tables, self.config.seed), steps)

        def log(step: int, losses: dict[str, float]) -> None:
            if step % 20 == 19 or step + 1 == steps:
                shown = ", ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
                logger.info("%s, step %d: %s, %.0f s", label, step + 1, shown, time.monotonic() - began)

        tomoe.train(batches, log)
        return tomoe

    def _judge(self, label: str, denoiser: TupleDenoiser) -> None:
        self.rows.append(self.judge.row(label, denoiser))
        logger.info("%s: %s", label, {name: str(figure) for name, figure in self.rows[-1].figures.items()})
        report = {**self.story, "table": self.table().to_json()}
        self.options.report.write_text(json.dumps(report, indent=1), encoding="utf-8")

    def table(self) -> EvaluationTable:
        """Every system that has been judged."""
        cells = sum(len(table.cells) for table in self.judge.masked)
        title = f"ToMoE, {cells} hidden cells of {len(self.judge.masked)} windows, {self.options.steps} steps"
        return EvaluationTable("compression", title, tuple(self.rows), ("Filled by the model alone, no statistics.",))


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; gives 0."""
    options = _parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    checkpoint = load_checkpoint(options.checkpoint, precision="float32")
    corpus = corpus_folder(options.corpus)
    held_out = validation_tables(corpus, checkpoint, 300).tables
    judged = islice(training_batches(checkpoint, held_out, options.seed + 1), options.batches)
    masked = sample_masked_tables(held_out, options.cells, options.seed)
    judge = Judge(checkpoint, list(judged), masked, held_out, Judging(options.windows, seed=options.seed))
    tables = list(read_tables(corpus / TRAINING_SHARDS[0], 300, options.tables))
    config = ToMoEConfig(
        options.active,
        options.experts,
        options.seed,
        options.learning_rate,
        divergence_weight=options.divergence_weight,
        budget_weight=options.budget_weight,
    )
    print(Experiment(judge, tables, config, options).run().to_markdown())
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m model.compression.tomoe_experiment", description="Mixtures of experts and what they must beat."
    )
    parser.add_argument("--corpus", help="corpus folder; default: RPT_CORPUS")
    parser.add_argument("--checkpoint", help="the dense model; default: the weights that ship")
    parser.add_argument("--active", type=float, default=0.6, help="share of the prunable parameters that is active")
    parser.add_argument("--experts", type=int, default=8, help="experts of each feed-forward block")
    parser.add_argument("--steps", type=int, default=200, help="optimizer steps of each system that learns")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="constant")
    parser.add_argument("--divergence-weight", type=float, default=8.0, help="weight of KL; the authors' is 2")
    parser.add_argument("--budget-weight", type=float, default=4.0, help="weight of the budget; the authors' is 16")
    parser.add_argument("--tables", type=int, default=600, help="training tables that are read")
    parser.add_argument("--cells", type=int, default=120, help="hidden cells of validation tables")
    parser.add_argument("--batches", type=int, default=12, help="batches of validation windows")
    parser.add_argument("--windows", type=int, default=50, help="validation windows with repairs and detection")
    parser.add_argument("--ablations", action="store_true", help="leave out one loss each, instead of the rivals")
    parser.add_argument("--seed", type=int, default=0, help="of training and judging")
    parser.add_argument("--output", type=Path, help="folder for the model with learned experts")
    parser.add_argument("--report", type=Path, default=Path("tomoe.json"), help="figures as JSON")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())

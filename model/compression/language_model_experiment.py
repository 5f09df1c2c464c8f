"""`python -m model.compression.language_model_experiment`: ToMoE against static pruning on a tiny language model.

    python -m model.compression.language_model_experiment --corpus DIR --run DIR

A LLaMA-type model of less than a million numbers is trained on the text of corpus tables, then cut in several ways to
several shares of active parameters, and each is judged by its perplexity on tables of other repositories. Its weights
are never trained after that. What learns (experts, routers) learns for the same number of steps on the same batches;
random and magnitude masks learn nothing. The run folder keeps the dense model and the figures.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from model.compression.expert_losses import pairwise_jaccard, routing_entropy
from model.compression.expert_training import ExpertMasks, ToMoEConfig, active_parameters, fit_budget
from model.compression.language_model_structures import language_structures
from model.compression.language_model_tomoe import LanguageToMoE, TokenBatch
from model.compression.language_models import load_language_model
from model.compression.structures import Structure, linear, prunable_parameters
from model.corpus import TRAINING_SHARDS, VALIDATION_SHARD, CorpusTable, corpus_folder, read_tables
from model.tokenizer import SpecialToken, TupleTokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)

VOCABULARY = 1024
LENGTH = 128
"""Tokens of one text: a window of a table, its names in the first line, a tuple in each line after it."""
BATCH = 8
JUDGED = 160
"""Texts of validation tables that a perplexity is over."""
_RESAMPLES = 1000


def table_text(table: CorpusTable, start: int) -> str:
    """Names, then tuples from `start` on, as lines; about as much as a text's tokens hold."""
    lines = [" | ".join(table.attributes)]
    lines += [" | ".join(value or "" for value in values) for values in table.relation.tuples[start : start + 20]]
    return "\n".join(lines)[: 5 * LENGTH]


def text_batches(tables: Sequence[CorpusTable], tokenizer: TupleTokenizer, seed: int) -> Iterator[TokenBatch]:
    """Batches without end; batch i follows from the seed alone. Repositories take equal turns."""
    repositories: dict[str, list[CorpusTable]] = {}
    for table in tables:
        repositories.setdefault(table.repository, []).append(table)
    names = sorted(repositories)
    rng = random.Random(seed)
    while True:
        ids = torch.zeros(BATCH, LENGTH, dtype=torch.long)
        for row in range(BATCH):
            table = rng.choice(repositories[rng.choice(names)])
            text = table_text(table, rng.randrange(max(1, len(table) - 3)))
            tokens = [int(SpecialToken.END), *tokenizer.encode(text)][:LENGTH]
            ids[row, : len(tokens)] = torch.tensor(tokens)
        yield TokenBatch(ids, ids != 0)


def token_losses(model: PreTrainedModel, batch: TokenBatch) -> tuple[Tensor, Tensor]:
    """Negative log-likelihood of every token after the first, 0 on padding; where it counts; (batch, length - 1)."""
    logits = model(input_ids=batch.ids, attention_mask=batch.keep.long()).logits[:, :-1]
    negative = -logits.float().log_softmax(-1).gather(-1, batch.ids[:, 1:, None]).squeeze(-1)
    counts = batch.keep[:, 1:]
    return negative * counts, counts


def train_dense(batches: Iterator[TokenBatch], steps: int, seed: int) -> PreTrainedModel:
    """A tiny LLaMA from random weights: AdamW, warm-up and cosine."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=96,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=LENGTH,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=int(SpecialToken.END),
    )
    model: PreTrainedModel = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.05, betas=(0.9, 0.98))
    for step, batch in enumerate(islice(batches, steps)):
        warm = min(1.0, (step + 1) / 50)
        optimizer.param_groups[0]["lr"] = 4e-3 * warm * (0.05 + 0.475 * (1 + math.cos(math.pi * step / steps)))
        losses, counts = token_losses(model, batch)
        loss = losses.sum() / counts.sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 49:
            logger.info("dense step %d: loss %.3f", step + 1, loss.item())
    model.eval().requires_grad_(False)
    return model


@dataclass(frozen=True, slots=True)
class Judgement:
    """Sums over each text: its tokens' negative log-likelihood, and their number, (texts,)."""

    losses: np.ndarray
    counts: np.ndarray

    def perplexity(self, chosen: np.ndarray | None = None) -> float:
        """Perplexity per token, of all texts or of some."""
        picked = slice(None) if chosen is None else chosen
        return float(np.exp(self.losses[picked].sum() / self.counts[picked].sum()))

    def interval(self) -> tuple[float, float]:
        """95 % bootstrap interval over texts."""
        rng = np.random.default_rng(0)
        draws = [self.perplexity(rng.integers(len(self.counts), size=len(self.counts))) for _ in range(_RESAMPLES)]
        low, high = np.quantile(draws, (0.025, 0.975))
        return float(low), float(high)


@torch.no_grad()
def judge(model: PreTrainedModel, batches: Sequence[TokenBatch]) -> Judgement:
    """What a model makes of texts."""
    found = [token_losses(model, batch) for batch in batches]
    losses = torch.cat([loss.sum(1) for loss, _ in found]).double()
    return Judgement(losses.numpy(), torch.cat([counts.sum(1) for _, counts in found]).numpy())


def uniform_scores(scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Ranks inside each row, in (0, 1]: by them every structure keeps about the same share."""
    return {name: (one.argsort(-1).argsort(-1) + 1) / one.shape[-1] for name, one in scores.items()}


def random_scores(structures: Sequence[Structure], experts: int, seed: int) -> dict[str, Tensor]:
    """A number for every unit, and for every expert where there are any."""
    rng = torch.Generator().manual_seed(seed)
    rows = {one.name: experts if one.kind == "feed_forward" else 1 for one in structures}
    return {one.name: torch.rand(rows[one.name], one.units, generator=rng) for one in structures}


def magnitude_scores(model: PreTrainedModel, structures: Sequence[Structure]) -> dict[str, Tensor]:
    """The 2-norm of the weights of every unit, (1, units)."""
    scores = {}
    for structure in structures:
        squares = torch.zeros(structure.units)
        for side in structure.sides:
            weight = linear(model, side.module).weight.square().sum(1 if side.rows else 0)
            owners = side.expand(torch.arange(1, structure.units + 1))  # a copy of each unit's number at its rows
            squares.index_add_(0, owners - 1, weight)
        scores[structure.name] = squares.sqrt()[None]
    return scores


def static_masks(scores: Mapping[str, Tensor], structures: Sequence[Structure], active: float) -> ExpertMasks:
    """The units of the highest rank that fit a share of active parameters, the same share of every structure."""
    whole = prunable_parameters(structures)
    return fit_budget(
        uniform_scores(scores), lambda masks: float(active_parameters(structures, masks)) <= active * whole
    )


@torch.no_grad()
def describe(trained: LanguageToMoE, masks: ExpertMasks, batches: Sequence[TokenBatch]) -> dict[str, Any]:
    """Sizes of a cut model as shares of the prunable parameters, and what its routers do with real tokens."""
    structures = trained.structures
    chosen: dict[str, list[Tensor]] = {}
    probabilities: dict[str, list[Tensor]] = {}
    for batch in batches:
        with trained.gates.obeying(masks):
            trained.gates.log_probabilities(batch.ids, batch.keep)
        for name, routing in trained.gates.routing(batch.keep).items():
            chosen.setdefault(name, []).append(routing.chosen)
            probabilities.setdefault(name, []).append(routing.probabilities)
    shares = {name: torch.cat(parts).mean(0) for name, parts in chosen.items()}
    union = {name: mask.any(0)[None] for name, mask in masks.items()}
    mean = {
        name: (shares[name] @ mask.double().float())[None] if name in shares else mask for name, mask in masks.items()
    }
    whole = prunable_parameters(structures)
    record: dict[str, Any] = {
        "active, max": float(active_parameters(structures, masks)) / whole,
        "active, mean": float(active_parameters(structures, mean)) / whole,
        "stored": float(active_parameters(structures, union)) / whole,
    }
    experts = max(len(mask) for mask in masks.values())
    if experts > 1:
        blocks = [mask for mask in masks.values() if len(mask) > 1]
        record["jaccard"] = float(torch.cat([pairwise_jaccard(mask) for mask in blocks]).mean())
        record["entropy, bits"] = sum(float(routing_entropy(torch.cat(one))) for one in probabilities.values()) / len(
            shares
        )
        record["tokens of each expert"] = {
            name: [round(float(one), 3) for one in share] for name, share in shares.items()
        }
    return record


def train_masks(
    model: PreTrainedModel, config: ToMoEConfig, fixed: ExpertMasks | None, steps: int, data: Data
) -> LanguageToMoE:
    """Train what learns on the first batches of the training tables."""
    trained = LanguageToMoE(model, config, fixed)
    batches = islice(text_batches(data.tables, data.tokenizer, 1), steps)
    trained.train(batches, lambda step, losses: logger.info("%d %s", step, losses) if step % 50 == 49 else None)
    return trained


def figures(trained: LanguageToMoE, data: Data) -> dict[str, Any]:
    """What is left after the cut, and what it says; with experts also with routers that draw."""
    masks = trained.decide()
    judged = judge(trained.cut(masks), data.judged)
    record = describe(trained, masks, data.judged) | {
        "perplexity": judged.perplexity(),
        "interval": judged.interval(),
        "KL": trained.divergence(data.judged, masks),
    }
    if trained.config.experts > 1:
        record["KL, router draws"] = trained.divergence(data.judged, masks, torch.Generator().manual_seed(0))
    return record


@torch.no_grad()
def forget_routers(trained: LanguageToMoE, seed: int) -> None:
    """Exchange the routers for random ones."""
    rng = torch.Generator().manual_seed(seed)
    for router in trained.gates.routers().values():
        router.copy_(torch.randn(router.shape, generator=rng))


@dataclass(frozen=True, slots=True)
class Data:
    """Training tables, their tokenizer, and the batches that models are judged on."""

    tables: Sequence[CorpusTable]
    tokenizer: TupleTokenizer
    judged: Sequence[TokenBatch]


def read_data(corpus: Path, max_tables: int) -> Data:
    """Tables of the first training shard, and texts of the validation shard."""
    tables = list(islice(read_tables(corpus / TRAINING_SHARDS[0], 60), max_tables))
    valid = list(islice(read_tables(corpus / VALIDATION_SHARD, 60), max_tables))
    texts = (table_text(table, 0) for table in tables)
    tokenizer = TupleTokenizer.train(texts, VOCABULARY)
    return Data(tables, tokenizer, list(islice(text_batches(valid, tokenizer, 2), JUDGED // BATCH)))


def compare(
    model: PreTrainedModel, data: Data, shares: Sequence[float], steps: int, base: ToMoEConfig
) -> Iterator[tuple[str, float, dict[str, Any]]]:
    """Method, share of active parameters, and figures, one after another."""
    structures = language_structures(model.config)
    for active in shares:
        config = replace(base, active=active)
        one = replace(config, experts=1, union_weight=0.0)  # one expert cannot be small and all channels
        drawn = static_masks(random_scores(structures, config.experts, base.seed), structures, active)
        runs: dict[str, tuple[ToMoEConfig, ExpertMasks | None, int]] = {
            "ToMoE": (config, None, steps),
            "one expert, learned": (one, None, steps),
            "random experts, learned router": (config, {name: mask.float() for name, mask in drawn.items()}, steps),
            "magnitude": (one, static_masks(magnitude_scores(model, structures), structures, active), 0),
            "random": (one, static_masks(random_scores(structures, 1, base.seed), structures, active), 0),
        }
        for name, (settings, fixed, count) in runs.items():
            trained = train_masks(model, settings, fixed, count, data)
            yield name, active, figures(trained, data)
            if name == "ToMoE":
                forget_routers(trained, base.seed + 1)
                yield "the same experts, random router", active, figures(trained, data)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; gives 0."""
    options = _parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    data = read_data(corpus_folder(options.corpus), options.max_tables)
    dense = options.run / "dense"
    if not dense.exists():
        trained = train_dense(text_batches(data.tables, data.tokenizer, 0), options.dense_steps, options.seed)
        trained.save_pretrained(dense)
    model = load_language_model(dense).requires_grad_(False)
    judged = judge(model, data.judged)
    rows: list[dict[str, Any]] = [
        {"method": "dense", "active": 1.0, "perplexity": judged.perplexity(), "interval": judged.interval()}
    ]
    base = ToMoEConfig(
        seed=options.seed,
        learning_rate=options.learning_rate,
        experts=options.experts,
        divergence_weight=options.divergence_weight,
        budget_weight=options.budget_weight,
    )
    began = time.monotonic()
    for name, active, found in compare(model, data, options.active, options.steps, base):
        rows.append({"method": name, "active": active, **found})
        logger.info("%s at %.2f: %s (%.0f s since the start)", name, active, found, time.monotonic() - began)
        (options.run / "report.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(_markdown(rows))
    return 0


def _markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    names = (
        "perplexity",
        "KL",
        "KL, router draws",
        "active, max",
        "active, mean",
        "stored",
        "jaccard",
        "entropy, bits",
    )
    lines = ["| method | active | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
    for row in rows:
        cells = [f"{row[name]:.3f}" if name in row else "" for name in names]
        cells[0] = "{:.2f} [{:.2f}, {:.2f}]".format(row["perplexity"], *row["interval"])
        lines.append(f"| {row['method']} | {row['active']:.0%} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m model.compression.language_model_experiment",
        description="ToMoE against static pruning on a tiny language model of table texts.",
    )
    parser.add_argument("--corpus", help="a corpus folder; default: RPT_CORPUS")
    parser.add_argument("--run", type=Path, required=True, help="keeps the dense model and report.json")
    parser.add_argument("--dense-steps", type=int, default=600, help="optimizer steps of the dense model")
    parser.add_argument("--steps", type=int, default=200, help="optimizer steps of each method that learns")
    parser.add_argument("--active", type=float, nargs="+", default=[0.7, 0.6, 0.5], help="shares of active parameters")
    parser.add_argument("--experts", type=int, default=8, help="experts of each feed-forward block")
    parser.add_argument("--learning-rate", type=float, default=2e-2, help="of experts and routers")
    parser.add_argument("--divergence-weight", type=float, default=8.0, help="the paper's 2 is for 20,000 steps")
    parser.add_argument("--budget-weight", type=float, default=4.0, help="the paper's 16 is for 20,000 steps")
    parser.add_argument("--max-tables", type=int, default=3000, help="tables that are read of each shard")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())

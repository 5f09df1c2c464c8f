"""`python -m model.finetuning.naming`: train a checkpoint's model of names on columns of the corpus and of products.

A column is some of its values; its labels are the words of its name. Words that fewer than three repositories use are
not learned, and a repository with many tables counts as the root of their number.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from model.corpus import TRAINING_SHARDS, CorpusTable, corpus_folder, read_tables
from model.errors import InputError
from model.finetuning.products import invented_products
from model.naming import BUCKETS, FILE, WIDTH, NameModel, chosen_values, grams, name_words

logger = logging.getLogger(__name__)

STEPS = 4000
_BATCH = 192
_VALUES = 8
_REPOSITORIES = 3
_MAX_ROWS = 400
_LEARNING_RATE = 4e-3
_TABLES_OF_PRODUCTS = 2000
_PRODUCTS = 12
_PRODUCT_GROUPS = 8


@dataclass(frozen=True, slots=True)
class NamedColumn:
    """Some values of a column, and the words of its name."""

    repository: str
    words: tuple[str, ...]
    values: tuple[str, ...]


def named_columns(tables: Iterable[CorpusTable]) -> Iterator[NamedColumn]:
    """The columns of `tables` that have a name in words and three values or more."""
    for table in tables:
        for attribute, name in enumerate(table.attributes):
            words, values = name_words(name), chosen_values(table.relation.column(attribute))
            if words and len(values) >= 3:
                yield NamedColumn(table.repository, words, tuple(values))


def product_columns(count: int, seed: int = 0) -> Iterator[NamedColumn]:
    """The columns of `count` tables of invented products: trade's words, of which open tables have few."""
    for number in range(count):
        relation = invented_products(random.Random(f"names:{seed}:{number}"), _PRODUCTS)
        for attribute, name in enumerate(relation.attributes):
            values = chosen_values(relation.column(attribute))
            if values:
                yield NamedColumn(f"products {number % _PRODUCT_GROUPS}", name_words(name), tuple(values))


def train(columns: Sequence[NamedColumn], steps: int = STEPS, seed: int = 0) -> NameModel:
    """The model of names of some columns; the same columns, steps and seed give the same model.

    Raises:
        InputError: no word is used by enough repositories.
    """
    words = _common_words(columns)
    if not words:
        raise InputError("no word of a name is used by three repositories", field="corpus")
    places = {word: place for place, word in enumerate(words)}
    known = [(one, [places[word] for word in one.words if word in places]) for one in columns]
    known = [(one, labels) for one, labels in known if labels]
    weights = _weights([one for one, _ in known])
    torch.manual_seed(seed)
    rng = random.Random(f"names:{seed}")
    vectors = nn.EmbeddingBag(BUCKETS, WIDTH, mode="mean")
    nn.init.normal_(vectors.weight, std=0.1)
    output = nn.Linear(WIDTH, len(words))
    nn.init.constant_(output.bias, -4.0)
    parameters = [*vectors.parameters(), *output.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=_LEARNING_RATE, total_steps=steps)
    average = 0.0
    for step in range(steps):
        batch = rng.choices(known, weights, k=_BATCH)
        logits, labels = output(_means(vectors, [one for one, _ in batch], rng)), torch.zeros(len(batch), len(words))
        for row, (_, found) in enumerate(batch):
            labels[row, found] = 1.0
        loss = nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum") / len(batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        average = loss.item() if not step else 0.98 * average + 0.02 * loss.item()
        if step % 250 == 249:
            logger.info("step %d of %d: loss %.3f", step + 1, steps, average)
    arrays = [tensor.detach().numpy() for tensor in (vectors.weight, output.weight, output.bias)]
    return NameModel(words, arrays[0], arrays[1], arrays[2], _priors(known, weights, len(words)))


def _means(vectors: nn.EmbeddingBag, columns: Sequence[NamedColumn], rng: random.Random) -> Tensor:
    """For each column the mean over some of its values of the mean vector of their n-grams."""
    chosen = [rng.sample(one.values, min(len(one.values), rng.randint(1, _VALUES))) for one in columns]
    bags = [grams(value) for values in chosen for value in values]
    flat = torch.from_numpy(np.concatenate(bags).astype(np.int64))
    starts = torch.tensor(np.cumsum([0, *(len(bag) for bag in bags[:-1])]))
    owner = torch.tensor([row for row, values in enumerate(chosen) for _ in values])
    sums = torch.zeros(len(columns), WIDTH).index_add(0, owner, vectors(flat, starts))
    return sums / torch.bincount(owner, minlength=len(columns))[:, None]


def _common_words(columns: Sequence[NamedColumn]) -> tuple[str, ...]:
    used: dict[str, set[str]] = defaultdict(set)
    for column in columns:
        for word in column.words:
            used[word].add(column.repository)
    return tuple(
        sorted(word for word, repositories in used.items() if len(repositories) >= _REPOSITORIES and len(word) > 1)
    )


def _weights(columns: Sequence[NamedColumn]) -> list[float]:
    counts = Counter(column.repository for column in columns)
    return [counts[column.repository] ** -0.5 for column in columns]


def _priors(known: Sequence[tuple[NamedColumn, list[int]]], weights: Sequence[float], words: int) -> np.ndarray:
    """Log-odds of each word over all columns, as they are drawn."""
    total = np.zeros(words)
    for (_, labels), weight in zip(known, weights, strict=True):
        total[labels] += weight
    share = np.clip(total / sum(weights), 1e-6, 1 - 1e-6)
    return np.asarray(np.log(share / (1 - share)), dtype=np.float32)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; gives 0."""
    parser = argparse.ArgumentParser(description="Train a checkpoint's model of column names on the corpus.")
    parser.add_argument("--corpus", help="folder of the corpus; default: RPT_CORPUS")
    parser.add_argument("--checkpoint", required=True, help=f"checkpoint folder; {FILE} is written there")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    folder = corpus_folder(options.corpus)
    tables = (table for shard in TRAINING_SHARDS for table in read_tables(folder / shard, _MAX_ROWS))
    columns = [*named_columns(tables), *product_columns(_TABLES_OF_PRODUCTS, options.seed)]
    logger.info("%d columns", len(columns))
    train(columns, options.steps, options.seed).save(Path(options.checkpoint) / FILE)
    return 0


if __name__ == "__main__":
    sys.exit(main())

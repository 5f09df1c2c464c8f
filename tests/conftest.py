"""A tiny model for every test of this folder: trained tokenizer, random two-layer denoiser, hand-made calibrators.

Nothing is downloaded and nothing is random but by a seed. The denoiser has learned nothing; its weights are
spread wide and its end token is made likely, so that different inputs get different answers and beams end.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import zstandard
from torch import nn

from model.adapters import FOLDER, save_adapter
from model.architecture import TupleDenoiser
from model.calibration import Calibration, Calibrator
from model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from model.config import ModelConfig
from model.corpus import CorpusTable
from model.inference import annotation, answers, transformation
from model.inference.batching import run_task
from model.inference.candidates import FILL_FEATURES, MODEL_FEATURES
from model.inference.cleaning import detect
from model.inference.column_names import NAME_FEATURES
from model.inference.column_profiles import VALUE_FEATURES
from model.inference.reading import Reader
from model.inference.schema_matching import (
    MANY,
    NAMED_PAIR_FEATURES,
    NAMED_PAIRS,
    PAIR_FEATURES,
    PAIRS,
    VALUES,
)
from model.inference.schema_matching import NAMES as COLUMN_NAMES
from model.inference.suspicion import LESSON_FEATURES
from model.judge import Judge, save_judges
from model.known_values import KnownValues, value_key
from model.naming import BUCKETS, NameModel
from model.serialization import TupleSerializer
from model.tokenizer import SpecialToken, TupleTokenizer
from model.tuples import Relation

MakeCalibrator = Callable[[Sequence[str], Mapping[str, float], float], Calibrator]
MakeCalibration = Callable[..., Calibration]

CITIES = (("35233", "Birmingham", "AL"), ("94107", "San Francisco", "CA"), ("10001", "New York", "NY"),
          ("60601", "Chicago", "IL"), ("80202", "Denver", "CO"))  # fmt: skip
NAMES = ("Anna Weber", "Bob O'Neil", "Chloé Martin", "Dmitri Ivanov", "Eve Adams", "Farid Khan", "Grace Hopper")


def people_rows(count: int, seed: int) -> list[tuple[str | None, ...]]:
    """Rows of (id, name, zip, city, state, phone); one cell in twenty is wrong and one in thirty is missing."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        name = rng.choice(NAMES)
        phone = f"{rng.randint(200, 999)}-{rng.randint(1000, 9999)}"
        row: list[str | None] = [f"P{number:04d}", name, *rng.choice(CITIES), phone]
        for attribute in range(1, len(row)):
            value = row[attribute]
            if rng.random() < 0.05 and value:
                row[attribute] = value.replace(value[0], "x", 1)
            elif rng.random() < 1 / 30:
                row[attribute] = None
        rows.append(tuple(row))
    return rows


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tests share a machine, and one thread is enough for a tiny model."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def people() -> Relation:
    """A relation of 40 tuples in which zip, city and state go together but for some errors."""
    return Relation.of(("id", "name", "zip", "city", "state", "phone"), people_rows(40, 7), "people")


@pytest.fixture(scope="session")
def tables() -> list[CorpusTable]:
    """Corpus tables of six repositories; the last is too small to be an episode."""
    attributes = ("id", "name", "zip", "city", "state", "phone")
    made = [
        CorpusTable(f"owner/repo{number}:people.csv", "people", "MIT", Relation.of(attributes, people_rows(60, number)))
        for number in range(5)
    ]
    tiny = Relation.of(("one",), [["1"], ["2"]])
    return [*made, CorpusTable("owner/repo5:tiny.csv", "other", "MIT", tiny)]


def write_shard(path: Path, tables: Sequence[CorpusTable]) -> None:
    """A corpus shard of the real form."""
    lines = [
        json.dumps(
            {
                "id": table.table_id,
                "license": table.license,
                "domain": table.domain,
                "columns": table.relation.attributes,
                "rows": [[value or "" for value in values] for values in table.relation.tuples],
            }
        )
        for table in tables
    ]
    path.write_bytes(zstandard.compress("\n".join(lines).encode()))


@pytest.fixture(scope="session")
def tokenizer() -> TupleTokenizer:
    """A tokenizer of some hundred merges."""
    texts = [value for row in people_rows(300, 1) for value in row if value]
    texts += ["name", "zip code", "city", "state", "phone number", "price in dollars", "12.50 USD", "café", "naïve"] * 5
    return TupleTokenizer.train(texts, 420)


@pytest.fixture(scope="session")
def config(tokenizer: TupleTokenizer) -> ModelConfig:
    """Two layers of width 32 each."""
    return ModelConfig(
        vocabulary_size=tokenizer.vocabulary_size,
        width=32,
        heads=4,
        feed_forward=64,
        encoder_layers=2,
        decoder_layers=2,
        max_name_tokens=8,
        max_value_tokens=16,
    )


@pytest.fixture(scope="session")
def serializer(tokenizer: TupleTokenizer, config: ModelConfig) -> TupleSerializer:
    """Tokenizer and config together."""
    return TupleSerializer(tokenizer, config)


def random_denoiser(config: ModelConfig, seed: int = 0) -> TupleDenoiser:
    """Weights of deviation 0.2 that float16 holds exactly."""
    torch.manual_seed(seed)
    denoiser = TupleDenoiser(config)
    with torch.no_grad():
        for module in denoiser.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                module.weight.normal_(std=0.2)
        denoiser.decoder.output_bias[int(SpecialToken.END)] = 4.0
        for parameter in denoiser.parameters():
            parameter.copy_(parameter.half())
    return denoiser.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def denoiser(config: ModelConfig, tokenizer: TupleTokenizer) -> TupleDenoiser:
    """A random denoiser that hardly ever writes half a character; its weights survive a checkpoint exactly."""
    denoiser = random_denoiser(config)
    for token in range(tokenizer.vocabulary_size):
        try:
            tokenizer.token_bytes(token).decode("utf-8")
        except UnicodeDecodeError:
            denoiser.decoder.output_bias[token] = -8.0
    return denoiser


@pytest.fixture(scope="session")
def make_denoiser() -> Callable[..., TupleDenoiser]:
    """Further denoisers: config, seed."""
    return random_denoiser


def linear_calibrator(names: Sequence[str], weights: Mapping[str, float], bias: float) -> Calibrator:
    """The logistic function of a weighted sum of some features; features not named weigh nothing."""
    unknown = set(weights) - set(names)
    assert not unknown, f"no such feature: {unknown}"
    coefficients = tuple(float(weights.get(name, 0.0)) for name in names)
    zeros, ones = (0.0,) * len(names), (1.0,) * len(names)
    return Calibrator(tuple(names), zeros, ones, coefficients, bias, (0.0, 1.0), (0.0001, 0.9999))


@pytest.fixture(scope="session")
def make_calibrator() -> MakeCalibrator:
    """Hand-made calibrators: feature names, weights by name, bias."""
    return linear_calibrator


def linear_columns() -> dict[str, Calibrator]:
    """Calibrators of columns: names by their letters and words, values by what they share."""
    named = {"names": 0.6, "least_lead": 0.4}
    return {
        COLUMN_NAMES: linear_calibrator(NAME_FEATURES, {"name_grams": 5.0, "name_words": 5.0, "scheme": 4.0}, -4.0),
        VALUES: linear_calibrator(VALUE_FEATURES, {"values_contained": 5.0, "value_grams": 4.0}, -3.0),
        PAIRS: linear_calibrator(PAIR_FEATURES, {**named, "values": 0.6}, -0.5),
        NAMED_PAIRS: linear_calibrator(NAMED_PAIR_FEATURES, named, -0.5),
        PAIRS + MANY: linear_calibrator(PAIR_FEATURES, {**named, "values": 0.6}, -0.5),
        NAMED_PAIRS + MANY: linear_calibrator(NAMED_PAIR_FEATURES, named, -0.5),
    }


def linear_calibration(
    detection: Mapping[str, float],
    detection_bias: float,
    repair: Mapping[str, float],
    repair_bias: float,
) -> Calibration:
    """Calibrators of every name that inference asks for."""
    of_model = {name: weight for name, weight in repair.items() if name in MODEL_FEATURES}
    of_logit = {name: weight for name, weight in detection.items() if name == "detection_logit"}
    repairing = linear_calibrator(FILL_FEATURES, repair, repair_bias)
    alone = linear_calibrator(MODEL_FEATURES, of_model, repair_bias)
    return Calibration(
        {
            "detection": linear_calibrator(LESSON_FEATURES, detection, detection_bias),
            "detection_alone": linear_calibrator(("detection_logit",), of_logit, detection_bias),
            "repair": repairing,
            "repair_alone": alone,
            "fill": repairing,
            "fill_alone": alone,
            "typed": repairing,
            "typed_alone": alone,
            **linear_columns(),
        },
        "made by hand",
    )


@pytest.fixture(scope="session")
def make_calibration() -> MakeCalibration:
    """Hand-made calibrations: weights and bias of detection, weights and bias of repair and fill."""
    return linear_calibration


@pytest.fixture(scope="session")
def bare_checkpoint(
    tmp_path_factory: pytest.TempPathFactory, denoiser: TupleDenoiser, tokenizer: TupleTokenizer
) -> Checkpoint:
    """The tiny model saved and loaded, without calibrators."""
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    save_checkpoint(folder, denoiser, tokenizer, {"name": "tiny", "version": "1.2.3"})
    return load_checkpoint(folder, precision="float32")


@pytest.fixture(scope="session")
def checkpoint(bare_checkpoint: Checkpoint, people: Relation) -> Checkpoint:
    """The tiny model with calibrators under which it flags about a quarter of the cells of `people`."""
    logits = run_task(bare_checkpoint, detect(Reader(bare_checkpoint, people)))
    threshold, spread = float(np.quantile(logits, 0.75)), float(logits.std())
    calibration = linear_calibration(
        {"detection_logit": 3.0 / spread},
        -3.0 * threshold / spread,
        {"mean_log_probability": 0.5, "written": 0.7, "gap_to_best_other": 1.0},
        2.0,
    )
    of_texts = linear_calibrator(answers.FEATURES, {"log_probability": 0.5, "example_logit": 1.0}, 1.5)
    of_none = linear_calibrator(answers.NO_ANSWER_FEATURES, {"no_answer": 0.3, "best": -0.5}, 0.0)
    of_labels = linear_calibrator(annotation.FEATURES, {"values": 1.0, "kind_fit": 4.0, "header": 2.0}, -2.0)
    of_outputs = linear_calibrator(transformation.FEATURES, {"share": 4.0, "is_written": 1.0}, -2.0)
    further = {
        "extraction": of_texts,
        "extraction_none": of_none,
        "annotation": of_labels,
        "transform": of_outputs,
    }
    calibration = Calibration({**calibration.calibrators, **further}, calibration.source)
    folder = Path(bare_checkpoint.path)
    calibrated = folder.with_name("calibrated")
    save_checkpoint(
        calibrated, bare_checkpoint.denoiser, bare_checkpoint.serializer.tokenizer, bare_checkpoint.card, calibration
    )
    rng = np.random.default_rng(0)
    vectors, weights = rng.normal(size=(BUCKETS, 4)), rng.normal(size=(3, 4))
    nothing = np.zeros(3, dtype=np.float32)
    NameModel(("city", "name", "zip"), vectors.astype(np.float32), weights.astype(np.float32), nothing, nothing).save(
        calibrated / "names.safetensors"
    )
    known_values(("city", "name"), {"Boston": (3, {0: 2})}).save(calibrated / "values.safetensors")
    add_adapter(calibrated, random_denoiser(bare_checkpoint.config))
    add_trees(calibrated)
    return load_checkpoint(calibrated, precision="float32")


def known_values(words: Sequence[str], stands: Mapping[str, tuple[int, Mapping[int, int]]]) -> KnownValues:
    """Values with the repositories that have them, in all and under words by their places; every word is as rare."""
    ordered = sorted((value_key(value) or 0, *said) for value, said in stands.items())
    return KnownValues(
        tuple(words),
        np.full(len(words), 0.01, dtype=np.float32),
        np.array([key for key, *_ in ordered], dtype=np.uint32),
        np.array([total for _, total, _ in ordered], dtype=np.uint8),
        np.cumsum([0, *(len(under) for *_, under in ordered)]).astype(np.uint32),
        np.array([place for *_, under in ordered for place in under], dtype=np.uint16),
        np.array([count for *_, under in ordered for count in under.values()], dtype=np.uint8),
    )


def stump(features: Sequence[str], name: str, threshold: float, low: float, high: float) -> Judge:
    """Trees of one split: `low` where a feature is at most the threshold, else `high`."""
    return Judge(
        tuple(features),
        0.0,
        1,
        np.array([features.index(name), 0, 0], dtype=np.int32),
        np.array([threshold, np.inf, np.inf], dtype=np.float32),
        np.array([1, 1, 2], dtype=np.int32),
        np.array([2, 1, 2], dtype=np.int32),
        np.array([0.0, low, high], dtype=np.float32),
        np.array([0], dtype=np.int32),
    )


def add_trees(folder: Path) -> None:
    """Trees of extraction that call every candidate alike."""
    save_judges(folder / "judges.safetensors", {answers.JUDGE: stump(answers.EVIDENCE, "words", 0.0, 0.0, 0.0)})


def add_adapter(folder: Path, denoiser: TupleDenoiser) -> None:
    """Adapters for extraction and transformation that hold the span head of a denoiser."""
    denoiser.requires_grad_(False)
    denoiser.span.requires_grad_(True)
    for name in ("extract", "transform"):
        save_adapter(folder / FOLDER / f"{name}.safetensors", denoiser, {})
    denoiser.requires_grad_(False)

"""Calibrators of extraction: fitted to where answers stand, other calibrators untouched."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from model.config import TrainingConfig
from model.corpus import CorpusTable
from model.errors import InputError
from model.finetuning.extraction import TREES, ask, collections, fit_trees, main
from model.finetuning.extraction_examples import ExtractionFactory
from model.inference.answers import EVIDENCE, FEATURES, NO_ANSWER_FEATURES
from model.inference.batching import run_task
from model.inference.extraction import extract
from model.inference.pointing import AskedAttribute
from model.judge import load_judges, save_judges
from tests.conftest import add_adapter, add_trees, stump, write_shard


def test_examples_of_a_collection_are_not_judged(tables: Sequence[CorpusTable], checkpoint: Checkpoint) -> None:
    factory = ExtractionFactory(tables, checkpoint.serializer, TrainingConfig())
    asked = [ask(factory.collection(random.Random(number), 12), random.Random(number)) for number in range(30)]
    counts = {len(one.answered) for one in asked}
    assert 0 in counts and max(counts) > 3
    for one in asked:
        shown = {example.text for attribute in one.attributes for example in attribute.examples}
        assert not shown & {one.collection.texts[row] for row in one.judged}
        for attribute in one.attributes:
            assert all(example.value is None or example.value in example.text for example in attribute.examples)


def test_places_of_a_collection_are_inside_its_texts(tables: Sequence[CorpusTable], checkpoint: Checkpoint) -> None:
    places = [
        (one.collection.texts[row], place)
        for one in collections(tables, checkpoint, 20)
        for (row, _), place in one.collection.places.items()
    ]
    told = [text[place[0] : place[1]] for text, place in places if place]
    assert len(told) > 100 and all(value.strip() for value in told)
    assert len(told) < len(places)


def test_the_calibrators_are_added_and_the_others_stay(
    tables: Sequence[CorpusTable], checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = tmp_path / "tiny"
    save_checkpoint(
        folder, checkpoint.denoiser, checkpoint.serializer.tokenizer, checkpoint.card, checkpoint.calibration
    )
    add_adapter(folder, load_checkpoint(folder, precision="float32").denoiser)
    add_trees(folder)
    other = stump(EVIDENCE, "gap", 1.0, 2.0, 3.0)
    save_judges(folder / "judges.safetensors", {**load_judges(folder / "judges.safetensors"), "other": other})
    write_shard(tmp_path / "valid.jsonl.zst", tables)
    before = json.loads((folder / "calibration.json").read_text())
    assert main(["--corpus", str(tmp_path), "--checkpoint", str(folder), "--collections", "8"]) == 0
    after = json.loads((folder / "calibration.json").read_text())
    for name in ("extraction", "extraction_none"):
        assert after["calibrators"][name] != before["calibrators"].pop(name)
    added = {name: after["calibrators"].pop(name) for name in ("extraction", "extraction_none")}
    assert after == before
    assert tuple(added["extraction"]["features"]) == FEATURES
    assert tuple(added["extraction_none"]["features"]) == NO_ANSWER_FEATURES
    assert any(added["extraction"]["coefficients"])
    judges = load_checkpoint(folder).judges
    assert judges["extraction"].features == EVIDENCE and len(judges["extraction"].roots) == TREES
    assert judges["other"].value.tolist() == other.value.tolist()


def test_trees_say_of_a_table_what_they_learned_from_others() -> None:
    rng = np.random.default_rng(0)
    owners = np.repeat(np.arange(8.0), 300)
    evidence = rng.normal(size=(len(owners), len(EVIDENCE))).astype(np.float32)
    evidence[:, EVIDENCE.index("words")] = owners  # all that tells answers from others is the table, and it is no help
    labels = owners % 2
    trees, held_out = fit_trees(evidence, labels, owners)
    with pytest.raises(InputError, match="two repositories"):
        fit_trees(evidence, labels, np.zeros(len(owners)))
    inside = trees.logits(evidence)

    def told_apart(logits: np.ndarray) -> float:
        return float(logits[labels == 1].mean() - logits[labels == 0].mean())

    assert told_apart(inside) > 2.0
    assert told_apart(held_out) < 0.5


def test_evidence_speaks_in_its_direction_only() -> None:
    rng = np.random.default_rng(0)
    owners = np.repeat(np.arange(4.0), 300)
    evidence = rng.normal(size=(len(owners), len(EVIDENCE))).astype(np.float32)
    named, words = (evidence[:, EVIDENCE.index(name)] for name in ("named", "words"))
    labels = ((words - named + 0.3 * rng.normal(size=len(owners))) > 0).astype(
        np.float64
    )  # what is named well is wrong here
    trees, _ = fit_trees(evidence, labels, owners)
    more = evidence.copy()
    more[:, EVIDENCE.index("named")] += 2.0
    assert (trees.logits(more) >= trees.logits(evidence)).all()
    fewer = evidence.copy()
    fewer[:, EVIDENCE.index("words")] -= 2.0
    assert (trees.logits(fewer) < trees.logits(evidence)).mean() > 0.5


def test_a_checkpoint_that_weighs_as_another_version_does_is_refused(checkpoint: Checkpoint) -> None:
    assert checkpoint.calibration is not None
    old = replace(checkpoint.calibration["extraction"], features=EVIDENCE)
    calibration = replace(checkpoint.calibration, calibrators={**checkpoint.calibration.calibrators, "extraction": old})
    with pytest.raises(InputError, match="another version"):
        run_task(checkpoint, extract(replace(checkpoint, calibration=calibration), ["a"], [AskedAttribute("b")]))

"""Variants of the design: each changes one thing, and all are trained and judged alike."""

from __future__ import annotations

import json
import random
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from model import experiments
from model.checkpoint import Checkpoint, save_checkpoint
from model.config import CorruptionConfig, TrainingConfig
from model.corpus import CorpusTable
from model.experiments import FAMILIES, VARIANTS, ExperimentFactory, summarize
from model.pretraining import Validation
from model.serialization import TupleSerializer
from model.tokenizer import TupleTokenizer
from tests.conftest import write_shard
from tests.model.test_pretraining import TinyConfig


def test_every_kind_of_error_belongs_to_one_family() -> None:
    names = [field.name for field in fields(CorruptionConfig)]
    kinds = names[names.index("keyboard_typo") :]
    assert sorted(kind for family in FAMILIES.values() for kind in family) == sorted(kinds)


def test_the_first_variant_changes_nothing_and_every_other_one_thing() -> None:
    changes = [bool(one.shape) + bool(one.training or one.corruption) + (one.neighbours != "agreement")
               for one in VARIANTS.values()]  # fmt: skip
    assert changes == [0, *[1] * (len(VARIANTS) - 1)]


@pytest.mark.parametrize("neighbours", ["agreement", "random", "beside"])
def test_context_is_chosen_as_the_variant_says(
    neighbours: str, tables: list[CorpusTable], serializer: TupleSerializer
) -> None:
    factory = ExperimentFactory(tables, serializer, TrainingConfig(context_size=2), CorruptionConfig())
    factory.neighbours = neighbours
    relation, targets = tables[0].relation, np.array([0, 3, 5])
    chosen = factory.contexts(relation, targets)
    assert chosen.shape == (3, 2)
    assert not [target for target, row in zip(targets, chosen, strict=True) if target in row]
    if neighbours == "beside":
        assert chosen.tolist() == [[1, 2], [2, 4], [4, 6]]
    factory.whole = True
    assert {factory.context_size(2, random.Random(seed)) for seed in range(50)} == {2}


def test_a_figure_is_over_all_windows_and_its_interval_over_resampled_ones() -> None:
    windows = [
        Validation(np.array([2.0, -2.0]), np.array([1.0, 0.0]), {"fill": [1.0], "repair": []},
                   {"fill": [number % 4 == 0], "repair": [True], "name": []})
        for number in range(40)
    ]  # fmt: skip
    figures = summarize(windows)
    assert figures["detection_average_precision"] == (100.0, 100.0, 100.0)
    value, low, high = figures["fill_exact_match"]
    assert value == 25.0
    assert 8 < low < 20 < 30 < high < 45


def test_the_command_trains_judges_and_reports(
    tables: list[CorpusTable], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    monkeypatch.setattr(experiments, "ModelConfig", TinyConfig)
    for name, members in {"train-00": tables[:2], "train-01": tables[2:4], "valid": tables[4:]}.items():
        write_shard(tmp_path / f"{name}.jsonl.zst", members)
    TupleTokenizer.train(["Boston", "1815-12-10", "New York"], 320).save(tmp_path / "tokenizer.json")
    arguments = ["as shipped", "1 decoder layer", "--corpus", tmp_path, "--tokenizer", tmp_path / "tokenizer.json",
                 "--steps", 3, "--batch-tokens", 1024, "--windows", 3, "--workers", 0,
                 "--report", tmp_path / "report.json"]  # fmt: skip
    assert experiments.main([str(one) for one in arguments]) == 0
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert list(report) == ["as shipped", "1 decoder layer"]
    for figures in report.values():
        assert len(figures) == 3
        assert all(0 <= low <= high <= 100 for _, low, high in figures.values())
    assert capsys.readouterr().out.count("|") > 12


def test_given_weights_are_judged_with_every_context_and_not_trained(
    bare_checkpoint: Checkpoint, tables: list[CorpusTable], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path / "tiny", bare_checkpoint.denoiser, bare_checkpoint.serializer.tokenizer, {"name": "tiny"})
    monkeypatch.setattr(experiments, "train", None)
    for name, members in {"train-00": tables[:2], "train-01": tables[2:4], "valid": tables[4:]}.items():
        write_shard(tmp_path / f"{name}.jsonl.zst", members)
    arguments = ["--corpus", tmp_path, "--checkpoint", tmp_path / "tiny", "--windows", 2,
                 "--report", tmp_path / "report.json"]  # fmt: skip
    assert experiments.main([str(one) for one in arguments]) == 0
    judged = list(json.loads((tmp_path / "report.json").read_text(encoding="utf-8")))
    assert judged == [name for name in VARIANTS if "context" in name or "tuples" in name or name == "as shipped"]

"""The command writes a checkpoint that is good enough, and nothing otherwise; the experiment compares methods."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model.checkpoint import Checkpoint, load_checkpoint
from model.compression.__main__ import main
from model.compression.experiment import main as run_experiment
from model.compression.structures import model_size
from model.corpus import TRAINING_SHARDS, VALIDATION_SHARD, CorpusTable
from tests.conftest import write_shard

SMALL = ["--batch-tokens=160", "--max-tokens=160", "--context-size=1", "--rank=4", "--windows=3", "--max-rows=40"]


@pytest.fixture(scope="module")
def corpus(tables: list[CorpusTable], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for shard, members in zip((*TRAINING_SHARDS, VALIDATION_SHARD), (tables[:2], tables[2:4], tables[4:]), strict=True):
        write_shard(folder / shard, members)
    return folder


def command(corpus: Path, checkpoint: Checkpoint, output: Path, *more: str) -> int:
    places = ["--corpus", str(corpus), "--model", str(checkpoint.path), "--output", str(output)]
    return main([*places, "--steps=4", *SMALL, *more])


def test_a_model_that_is_good_enough_is_published_with_its_certificate(
    corpus: Path, checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "small"
    assert command(corpus, checkpoint, output, "--keep=0.6", "--max-loss=100", "--seed=2") == 0
    assert "| masked cells, exact match |" in capsys.readouterr().out
    loaded = load_checkpoint(output, precision="float32")
    told = loaded.card["compression"]
    assert (told["method"], told["keep"], told["tuning_steps"], told["seed"]) == ("atp", 0.6, 4, 2)
    assert told["kept_share"] == pytest.approx(0.6, rel=0.005)
    assert told["size"] == model_size(loaded.config).record()
    assert told["certificate"]["max_loss"] == 100
    assert len(told["certificate"]["lines"]) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


def test_experts_are_published_alike(corpus: Path, checkpoint: Checkpoint, tmp_path: Path) -> None:
    output = tmp_path / "experts"
    assert command(corpus, checkpoint, output, "--method=tomoe", "--keep=0.7", "--max-loss=100") == 0
    loaded = load_checkpoint(output, precision="float32")
    told = loaded.card["compression"]
    assert (told["method"], told["experts"]) == ("tomoe", 8)
    assert all(len(block.experts) == 8 for block in loaded.config.encoder_sizes + loaded.config.decoder_sizes)
    assert told["size"] == model_size(loaded.config).record()
    assert 0.65 < told["size"]["active"] / model_size(checkpoint.config).prunable <= 0.7


def test_a_model_that_loses_too_much_is_not_published(
    corpus: Path, checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(corpus, checkpoint, tmp_path / "small", "--method=random", "--keep=0.1", "--max-loss=-101") == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "rpt compress: not published: " in printed.err
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_never_written_over(
    corpus: Path, checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(corpus, checkpoint, tmp_path) == 1
    assert "exists already" in capsys.readouterr().err


def test_the_experiment_compares_methods_after_the_same_passes(
    corpus: Path, checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"
    places = ["--corpus", str(corpus), "--model", str(checkpoint.path), "--report", str(report)]
    assert run_experiment(["atp", "magnitude", "magnitude then lora", *places, "--passes=8", *SMALL]) == 0
    results = json.loads(report.read_text())
    assert [(one["method"], one["story"]["tuning_steps"]) for one in results] == [
        ("atp", 5),
        ("magnitude", 0),
        ("magnitude then lora", 8),
    ]
    assert all(one["story"]["kept_share"] == pytest.approx(0.6, rel=0.005) for one in results)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[1] for line in lines[2:]] == ["dense", "atp", "magnitude", "magnitude then lora"]

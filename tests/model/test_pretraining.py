"""From a corpus folder to a checkpoint with one command, which goes on where it stopped."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from model import packing, pretraining
from model.checkpoint import load_checkpoint
from model.config import ModelConfig, TrainingConfig
from model.corpus import TRAINING_SHARDS, CorpusTable
from model.errors import InputError
from model.tokenizer import TupleTokenizer
from tests.conftest import write_shard

Pretrain = Callable[..., Path]


@dataclass(frozen=True, slots=True)
class TinyConfig(ModelConfig):
    """The default shape, small enough for a test."""

    vocabulary_size: int = 320
    width: int = 24
    heads: int = 3
    feed_forward: int = 48
    max_name_tokens: int = 8
    max_value_tokens: int = 16


@pytest.fixture(scope="module")
def corpus(tables: list[CorpusTable], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards with the names of the real ones."""
    folder = tmp_path_factory.mktemp("corpus")
    shards = {"train-00.jsonl.zst": tables[:2], "train-01.jsonl.zst": tables[2:4], "valid.jsonl.zst": tables[4:]}
    for name, members in shards.items():
        write_shard(folder / name, members)
    return folder


@pytest.fixture()
def pretrain(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pretrain:
    """Run the command with a tiny shape: name of the run, further arguments; gives the checkpoint folder."""
    monkeypatch.setattr(pretraining, "ModelConfig", TinyConfig)

    def run(name: str, *arguments: str) -> Path:
        output = tmp_path / f"{name}-checkpoint"
        fixed = ["--corpus", corpus, "--run", tmp_path / name, "--output", output, "--initialization", "random"]
        fixed += ["--steps", 6, "--warmup-steps", 1, "--batch-tokens", 1024, "--episodes-per-chunk", 1]
        fixed += ["--encoder-layers", 1, "--decoder-layers", 1, "--validation-chunks", 1, "--device", "cpu"]
        assert pretraining.main([str(one) for one in [*fixed, "--workers", 0, *arguments]]) == 0
        return output

    return run


def test_a_corpus_becomes_a_checkpoint_that_loads(pretrain: Pretrain, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(pretrain("run", "--name", "tiny", "--version", "9.9"), precision="float32")
    assert (checkpoint.name, checkpoint.version) == ("tiny", "9.9")
    assert (checkpoint.config.width, checkpoint.config.encoder_layers) == (24, 1)
    assert checkpoint.calibration is None
    card = checkpoint.card
    assert (card["steps"], card["device"], card["initialization"]) == (6, "cpu", "random")
    assert card["training"]["batch_tokens"] == 1024
    assert card["encoder_tokens"] > 0
    metrics = card["validation"]
    assert {name for name in metrics if name.endswith("exact_match")} == {
        "fill_exact_match",
        "repair_exact_match",
        "name_exact_match",
    }
    losses = {name: metrics.pop(name) for name in ("fill_loss", "repair_loss", "name_loss")}
    assert all(0.0 < loss < 20.0 for loss in losses.values())
    assert all(0.0 <= value <= 1.0 for value in metrics.values())
    last = json.loads((tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert last == {"validation": {**metrics, **losses}, "step": 6}


def test_the_same_command_goes_on_where_it_stopped(
    pretrain: Pretrain, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = load_checkpoint(pretrain("whole"))
    stopped = load_checkpoint(pretrain("parts", "--max-seconds", "1e-9"))
    assert 0 < stopped.card["steps"] < 6
    tokenizer = (tmp_path / "parts" / "tokenizer.json").read_bytes()
    with caplog.at_level(logging.INFO, logger="model.pretraining"):
        resumed = load_checkpoint(pretrain("parts"))
    assert f"resumed at step {stopped.card['steps']}" in caplog.messages
    assert resumed.card["steps"] == 6
    assert resumed.sha256 == whole.sha256 != stopped.sha256
    assert (tmp_path / "parts" / "tokenizer.json").read_bytes() == tokenizer


def test_a_run_goes_on_from_the_weights_of_a_checkpoint(pretrain: Pretrain, tmp_path: Path) -> None:
    first = pretrain("first", "--version", "1")
    # With a learning rate of nothing, what comes out is what went in, to the bits that a checkpoint keeps.
    second = pretrain("second", "--start-from", str(first), "--learning-rate", "0", "--seed", "7")
    before, after = load_checkpoint(first), load_checkpoint(second)
    assert after.sha256 == before.sha256
    assert (second / "tokenizer.json").read_bytes() == (first / "tokenizer.json").read_bytes()
    assert after.card["started_from"] == {
        "version": "1",
        "commit": before.card["commit"],
        "steps": 6,
        "encoder_tokens": before.card["encoder_tokens"],
        "seconds": before.card["seconds"],
        "started_from": None,
        "sha256": before.sha256,
    }
    third = load_checkpoint(pretrain("third", "--start-from", str(second), "--seed", "7"))
    assert third.sha256 != after.sha256
    assert third.card["started_from"]["started_from"]["sha256"] == before.sha256


def test_running_a_finished_command_again_changes_no_weight(pretrain: Pretrain) -> None:
    assert load_checkpoint(pretrain("run")).sha256 == load_checkpoint(pretrain("run")).sha256


def test_the_tokenizer_learns_from_training_shards_only(corpus: Path, tmp_path: Path) -> None:
    tokenizer = pretraining.train_tokenizer(corpus, 400)
    (tmp_path / "copy").mkdir()
    for shard in TRAINING_SHARDS:
        (tmp_path / "copy" / shard).write_bytes((corpus / shard).read_bytes())
    alone: TupleTokenizer = pretraining.train_tokenizer(tmp_path / "copy", 400)  # no validation shard there
    assert alone.encode("San Francisco") == tokenizer.encode("San Francisco")


def test_a_packed_corpus_makes_the_weights_that_its_folder_makes(
    pretrain: Pretrain, corpus: Path, tmp_path: Path
) -> None:
    packed = tmp_path / "corpus.parquet"
    assert packing.main(["--corpus", str(corpus), "--output", str(packed), "--max-rows", "60"]) == 0
    from_folder = load_checkpoint(pretrain("folder", "--max-rows", "50"))
    from_packed = load_checkpoint(pretrain("packed", "--max-rows", "50", "--corpus", str(packed)))
    assert from_packed.sha256 == from_folder.sha256
    tokenizers = [(tmp_path / run / "tokenizer.json").read_bytes() for run in ("folder", "packed")]
    assert tokenizers[0] == tokenizers[1]
    for part in ("data", "validation", "encoder_tokens"):
        assert from_packed.card[part] == from_folder.card[part]


def test_a_corpus_is_needed(pretrain: Pretrain, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="does not exist"):
        pretrain("run", "--corpus", "nowhere")


def test_impossible_options_are_refused_before_anything_is_read(pretrain: Pretrain) -> None:
    with pytest.raises(ValueError, match="warmup_steps"):
        pretrain("run", "--warmup-steps", "6")


def test_validation_is_the_same_whatever_the_shape_of_the_batches_of_the_run(pretrain: Pretrain) -> None:
    cards = [
        load_checkpoint(pretrain(name, "--fixed-shapes", shapes, "--steps", "2", "--episodes-per-chunk", "20")).card
        for name, shapes in (("longest", "0"), ("fixed", "1"))
    ]
    found = [pretraining.for_validation(TrainingConfig(fixed_shapes=shapes), 3) for shapes in (0, 1)]
    assert found[0] == found[1]
    assert [len(card["validation"]) for card in cards] == [8, 8]

"""The command trains an adapter that fits its checkpoint, from labelled sets and corpus tables or from tables alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from model.adapters import load_adapter, read_adapter
from model.checkpoint import Checkpoint
from model.corpus import CorpusTable
from model.finetuning import low_rank
from model.finetuning.low_rank import main
from tests.model.conftest import LINKED


@pytest.mark.parametrize("task", ["match", "extract", "transform"])
def test_an_adapter_is_trained_saved_and_fits(
    task: str,
    linked_bench: Path,
    bare_checkpoint: Checkpoint,
    tables: list[CorpusTable],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(low_rank, "LABELLED_SETS", LINKED)
    monkeypatch.setattr(low_rank, "read_training_tables", lambda path, rows: tables)
    monkeypatch.setattr(low_rank, "corpus_path", Path)
    output = tmp_path / "adapters" / f"{task}.safetensors"
    arguments = [task, "--corpus", str(tmp_path), "--bench", str(linked_bench), "--run", str(tmp_path / "run")]
    arguments += ["--checkpoint", str(bare_checkpoint.path), "--output", str(output), "--device", "cpu"]
    arguments += ["--steps", "2", "--warmup-steps", "1", "--batch-tokens", "512", "--max-tokens", "300"]
    arguments += ["--episodes-per-chunk", "1", "--examples-per-episode", "6", "--workers", "0", "--context-size", "3"]
    if task == "match":
        arguments += ["--leave-out", "one"]
    assert main(arguments) == 0
    changes, card = read_adapter(output)
    assert card["task"] == task and card["weights"] == bare_checkpoint.sha256
    assert card["sets"] == (["two", "three"] if task == "match" else [])
    assert any(bool(change.any()) for name, change in changes.items() if name.endswith(".up"))
    denoiser = load_adapter(bare_checkpoint, output)
    base = dict(bare_checkpoint.denoiser.named_parameters())
    changed = {name for name, one in denoiser.named_parameters() if not torch.equal(one, base[name])}
    assert any(name.startswith("encoder.blocks.") for name in changed)
    assert not [name for name in changed if name.startswith(("encoder.tokens", "detection."))]
    assert json.loads((tmp_path / "run" / "resume.json").read_text())["step"] == 2

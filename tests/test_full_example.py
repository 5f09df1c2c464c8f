"""The README from end to end, small: pretrain on a corpus, calibrate, clean a file, serve the same model over REST."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import httpx
import pytest

from model import pretraining
from model.checkpoint import load_checkpoint
from model.config import ModelConfig
from model.corpus import CorpusTable
from model.finetuning import calibration
from service.cli import main
from service.engine import Engine
from service.main import create_app
from service.settings import Settings
from tests.conftest import write_shard
from tests.service.conftest import serving

SHAPE = ["--width", "32", "--heads", "4", "--feed-forward", "64", "--encoder-layers", "1", "--decoder-layers", "1"]
RUN = ["--steps", "8", "--warmup-steps", "2", "--batch-tokens", "1024", "--episodes-per-chunk", "1", "--workers", "0"]


def write_corpus(folder: Path, tables: list[CorpusTable]) -> None:
    """Three shards of the real form; the validation tables come from repositories of their own."""
    folder.mkdir()
    shards = {"train-00.jsonl.zst": tables[:1], "train-01.jsonl.zst": tables[:1], "valid.jsonl.zst": tables[1:]}
    for name, members in shards.items():
        write_shard(folder / name, members)


class SmallModelConfig(ModelConfig):
    """The default shape with a small vocabulary."""

    def __init__(self, **shape: int) -> None:
        super().__init__(vocabulary_size=420, **shape)  # type: ignore[arg-type]


def test_from_a_corpus_to_a_cleaned_file_and_a_served_model(
    tables: list[CorpusTable], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, run, checkpoint = tmp_path / "corpus", tmp_path / "run", tmp_path / "run" / "checkpoint"
    write_corpus(corpus, tables)
    monkeypatch.setattr(pretraining, "ModelConfig", SmallModelConfig)
    fixed = ["--corpus", str(corpus), "--run", str(run), "--output", str(checkpoint), "--device", "cpu"]
    assert pretraining.main([*fixed, *SHAPE, *RUN, "--validation-chunks", "1", "--name", "example"]) == 0
    assert calibration.main(["--corpus", str(corpus), "--checkpoint", str(checkpoint), "--windows", "18"]) == 0

    card = json.loads((checkpoint / "card.json").read_text("utf-8"))
    assert (card["name"], card["steps"], card["data"]["tables"]) == ("example", 8, 2)
    assert set(card["calibration"]["unseen_tables"]) >= {"detection", "repair", "fill"}
    loaded = load_checkpoint(checkpoint)
    assert loaded.sha256 == card["sha256"]

    dirty, cleaned = tmp_path / "people.csv", tmp_path / "people.cleaned.csv"
    people = tables[0].relation
    rows = [[value or "" for value in values] for values in people.tuples]
    with dirty.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([people.attributes, *rows])
    assert main(["clean", str(dirty), "--model", str(checkpoint), "--quiet"]) == 0
    patches = [json.loads(line) for line in Path(f"{cleaned}.patches.jsonl").read_text("utf-8").splitlines()]

    engine = Engine(checkpoint)
    with serving(create_app(Settings(_env_file=None), engine)) as address:
        engine.wait_ready()
        body = {"table": {"columns": list(people.attributes), "rows": rows}}
        answer = httpx.post(f"{address}/v1/clean", json=body, timeout=120).json()
    assert answer["model"] == {"name": "example", "version": "0.1.0", "sha256": card["sha256"]}
    of_file = [(patch["row"], patch["column"], patch["outcome"], patch["new"]) for patch in patches]
    over_rest = [(cell["row"], cell["column"], cell["outcome"], cell["repair"]) for cell in answer["cells"]]
    assert of_file == over_rest
    with cleaned.open(newline="", encoding="utf-8") as file:
        _, *written = list(csv.reader(file))
    for row, column, outcome, new in over_rest:
        if outcome == "repaired":
            rows[row][people.attributes.index(column)] = new
    assert written == rows

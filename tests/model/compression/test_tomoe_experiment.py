"""The experiment on the tiny model: every system is trained, exported and judged."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
import torch

from model.checkpoint import Checkpoint, load_checkpoint
from model.compression import tomoe_experiment
from model.compression.certificate import Judging
from model.compression.expert_training import ToMoEConfig
from model.compression.tomoe import ToMoE
from model.compression.tomoe_experiment import (
    Experiment,
    Judge,
    balanced_clusters,
    common_masks,
    disjoint_masks,
    random_masks,
)
from model.config import TrainingConfig
from model.corpus import CorpusTable
from model.dataset import TrainingBatch
from model.evaluation.reconstruction import sample_masked_tables


def test_clusters_are_disjoint_equally_large_and_near() -> None:
    torch.manual_seed(0)
    centres = torch.eye(3) * 10
    rows = torch.cat([centres + 0.1 * torch.randn(3, 3) for _ in range(5)])  # channel i is near centre i % 3
    masks = balanced_clusters(rows, 3, 0)
    assert torch.equal(masks.sum(0), torch.ones(15))
    assert sorted(mask.nonzero().squeeze(1).tolist() for mask in masks) == [list(range(k, 15, 3)) for k in range(3)]
    uneven = balanced_clusters(torch.randn(11, 4), 3, 0)
    assert sorted(uneven.sum(1).tolist()) == [3, 4, 4]


def test_disjoint_experts_are_as_many_as_keep_the_width(checkpoint: Checkpoint) -> None:
    tomoe = ToMoE(checkpoint.denoiser, ToMoEConfig(experts=4))
    masks = {name: mask.clone() for name, mask in tomoe.decide().items()}
    for name in tomoe.gates.blocks:
        masks[name][:] = False
        masks[name][:, :20] = True  # a third of 64 channels
    split = disjoint_masks(tomoe, masks, 0)
    assert {len(split[name]) for name in tomoe.gates.blocks} == {3}
    assert all(torch.equal(split[name].bool(), masks[name]) for name in tomoe.gates.queries)


def test_the_static_version_has_the_channels_that_most_experts_have() -> None:
    experts = torch.tensor([[1, 1, 0, 0, 1], [0, 1, 1, 0, 0], [0, 1, 1, 0, 0]]).bool()
    found = common_masks({"block": experts, "query": torch.tensor([[True, False]])})
    assert found["block"].tolist() == [[1.0, 1.0, 1.0, 0.0, 0.0]]
    assert found["query"].tolist() == [[1.0, 0.0]]


def test_random_experts_have_the_widths_of_the_learned_ones() -> None:
    experts = torch.zeros(3, 100)
    for expert, width in zip(experts, (10, 50, 99), strict=True):
        expert[:width] = 1
    given = {"block": experts, "query": torch.tensor([[True, False]])}
    found = random_masks(given, torch.Generator().manual_seed(0))
    assert found["block"].sum(1).tolist() == [10.0, 50.0, 99.0]
    assert not torch.equal(found["block"], experts)
    assert found["query"].tolist() == [[1.0, 0.0]]


@pytest.fixture()
def judge(
    checkpoint: Checkpoint, tables: list[CorpusTable], batches: list[TrainingBatch], monkeypatch: pytest.MonkeyPatch
) -> Judge:
    """A judge of a few windows; training batches are small as well."""
    training = TrainingConfig(batch_tokens=512, max_tokens=256, episodes_per_chunk=1, examples_per_episode=4)
    monkeypatch.setattr(tomoe_experiment, "TRAINING", training)
    return Judge(checkpoint, batches[:1], sample_masked_tables(tables, 2, 0), tables, Judging(2, 2))


def test_every_system_is_judged(judge: Judge, tables: list[CorpusTable], tmp_path: Path) -> None:
    options = argparse.Namespace(steps=1, report=tmp_path / "tomoe.json", output=tmp_path / "routed", ablations=False)
    table = Experiment(judge, tables, ToMoEConfig(0.7, 3), options).run()
    labels = [row.system for row in table.rows]
    assert labels[:4] == ["dense", "3 experts", "random router", "random channels"]
    assert labels[4:6] == ["same experts, static", "one expert (static)"]
    assert labels[6].endswith("disjoint experts (k-means)")
    dense, experts, shuffled, drawn, common, one, _ = (row.figures for row in table.rows)
    assert float(dense["KL, tokens"].value) == pytest.approx(0.0, abs=1e-6)
    assert dense["active %"].value == 100.0
    assert all(65.0 < figures["active %"].value <= 70.0 for figures in (experts, shuffled, drawn, common, one))
    assert experts["KL, tokens"].value > 0.0
    assert experts["stored M"].value < dense["stored M"].value + 0.01
    report = json.loads(options.report.read_text("utf-8"))
    assert report["experts"] == 3  # as asked for
    block = report["sizes"]["experts"]["blocks"]["decoder.blocks.1.feed_forward"]
    assert sum(block["token_shares"]) == pytest.approx(1.0)
    assert len(block["unused"]) == 64 - block["union"]
    assert max(block["widths"]) <= block["union"] <= sum(block["widths"])
    assert (
        report["sizes"]["experts"]["active_mean"]
        <= report["sizes"]["experts"]["active"]
        < report["sizes"]["experts"]["prunable"]
    )
    loaded = load_checkpoint(options.output, precision="float32")
    assert loaded.card["compression"]["method"] == "tomoe"
    assert len(loaded.config.encoder_sizes[0].experts) == 3


def test_a_run_without_a_loss_is_trained_without_it(
    judge: Judge, tables: list[CorpusTable], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[ToMoEConfig] = []
    plain = ToMoE.train

    def train(tomoe: ToMoE, *given: object) -> None:
        trained.append(tomoe.config)
        plain(tomoe, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(ToMoE, "train", train)
    options = argparse.Namespace(steps=1, report=tmp_path / "tomoe.json", output=None, ablations=True)
    config = ToMoEConfig(0.7, 3)
    table = Experiment(judge, tables, config, options).run()
    assert [row.system for row in table.rows] == ["dense", "3 experts", "no union loss", "no balance loss", "no KL"]
    assert trained[0] == config
    assert [one.union_weight for one in trained] == [3.0, 0.0, 3.0, 3.0]
    assert [one.balance_weight for one in trained] == [0.125, 0.125, 0.0, 0.125]
    assert [(one.divergence_weight, one.detection_weight) for one in trained[2:]] == [(2.0, 1.0), (0.0, 0.0)]
    assert all(0.0 <= row.figures["detection, best F1 %"].value <= 100.0 for row in table.rows)

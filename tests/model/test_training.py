"""One loop: it learns, follows its schedule, and goes on after an interruption as if there had been none."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model.architecture import TupleDenoiser
from model.config import CorruptionConfig, ModelConfig, TrainingConfig
from model.corpus import CorpusTable
from model.dataset import ExampleFactory, TrainingExample, make_chunk
from model.serialization import TupleSerializer
from model.training import Trainer, batch_losses, learning_rate

CPU = torch.device("cpu")
MakeTrainer = Callable[..., Trainer]


class OneEpisodeFactory(ExampleFactory):
    """Draws the same episode for ever, so that it can be learned by heart."""

    def examples(self, rng: random.Random) -> list[TrainingExample]:
        return super().examples(random.Random(0))


@pytest.fixture()
def make_trainer(tables: list[CorpusTable], serializer: TupleSerializer, tmp_path: Path) -> MakeTrainer:
    """Trainers of a small denoiser with dropout: folder name, steps, first weights."""
    shape: dict[str, Any] = {name: getattr(serializer.config, name) for name in serializer.config.__slots__}

    def make(
        folder: str, steps: int = 9, start: int = 0, kind: type[ExampleFactory] = ExampleFactory, **changes: Any
    ) -> Trainer:
        settings: dict[str, Any] = {
            "seed": 3,
            "steps": steps,
            "warmup_steps": 2,
            "batch_tokens": 1024,
            "max_tokens": 256,
            "learning_rate": 5e-3,
            "episodes_per_chunk": 1,
            "examples_per_episode": 12,
        }
        training = TrainingConfig(**settings | changes)
        factory = kind(tables, serializer, training, CorruptionConfig())
        torch.manual_seed(start)
        denoiser = TupleDenoiser(ModelConfig(**shape | {"dropout": 0.1}))
        return Trainer(denoiser, factory, tmp_path / folder, CPU, workers=0)

    return make


def weights(trainer: Trainer) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.denoiser.state_dict().items()}


def different(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    assert one.keys() == other.keys()
    return [name for name in one if not torch.equal(one[name], other[name])]


def test_learning_rate_warms_up_and_then_falls_along_a_cosine() -> None:
    config = TrainingConfig(learning_rate=1.0, warmup_steps=10, steps=110)
    rates = {step: learning_rate(step, config) for step in (0, 4, 9, 10, 60, 110, 500)}
    assert rates == pytest.approx({0: 0.1, 4: 0.5, 9: 1.0, 10: 1.0, 60: 0.525, 110: 0.05, 500: 0.05})
    falling = [learning_rate(step, config) for step in range(10, 111)]
    assert falling == sorted(falling, reverse=True)


def test_learning_rate_needs_no_warm_up() -> None:
    assert learning_rate(0, TrainingConfig(learning_rate=2.0, warmup_steps=0, steps=10)) == 2.0


def test_a_resumed_run_makes_the_weights_of_an_uninterrupted_one(make_trainer: MakeTrainer) -> None:
    whole = make_trainer("whole")
    whole.run()
    stops = 0
    while True:
        part = make_trainer("parts", start=stops)  # other first weights, so that they must come from the folder
        if stops == 0:
            part.denoiser.load_state_dict(weights(make_trainer("first")))
        assert part.resume() == (stops > 0)
        if part.position.step >= 9:
            break
        part.run(max_seconds=1e-9)
        stops += 1
    assert stops > 2
    assert different(weights(part), weights(whole)) == []
    assert (part.position.step, part.position.encoder_tokens) == (9, whole.position.encoder_tokens)
    assert part.position.chunk == whole.position.chunk


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_resumed_with_worker_processes_makes_the_same_weights(make_trainer: MakeTrainer, workers: int) -> None:
    if workers > len(os.sched_getaffinity(0)):
        pytest.skip("needs a core for each worker")
    whole, first = make_trainer("whole", steps=6), make_trainer("parts", steps=6)
    whole.run()
    first.workers = workers
    first.run(max_seconds=1e-9)
    second = make_trainer("parts", steps=6, start=9)
    second.workers = workers
    assert second.resume()
    assert 0 < second.position.step < 6
    second.run()
    assert different(weights(second), weights(whole)) == []
    assert (second.position.chunk, second.position.encoder_tokens) == (
        whole.position.chunk,
        whole.position.encoder_tokens,
    )


def test_a_resume_point_holds_the_moments_of_the_optimizer(make_trainer: MakeTrainer) -> None:
    first = make_trainer("run")
    first.run(max_seconds=1e-9)
    second = make_trainer("run", start=9)
    assert second.resume()
    for (name, one), other in zip(first.denoiser.named_parameters(), second.denoiser.parameters(), strict=True):
        before, after = first.optimizer.state.get(one, {}), second.optimizer.state.get(other, {})
        assert before.keys() == after.keys(), name
        assert all(torch.equal(before[key], after[key]) for key in before), name
    assert second.optimizer.state


def test_another_seed_makes_other_weights(make_trainer: MakeTrainer) -> None:
    runs = [make_trainer("one", steps=3), make_trainer("same", steps=3), make_trainer("other", steps=3, seed=4)]
    assert different(weights(runs[0]), weights(runs[2])) == []
    for trainer in runs:
        trainer.run()
    assert different(weights(runs[0]), weights(runs[1])) == []
    assert different(weights(runs[0]), weights(runs[2])) != []


def test_a_resume_point_is_safetensors_and_json(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("run", steps=3)
    assert not trainer.resume()
    trainer.run()
    assert sorted(path.name for path in trainer.folder.iterdir()) == [
        "resume-optimizer.safetensors",
        "resume-weights.safetensors",
        "resume.json",
    ]


def test_a_finished_run_trains_no_more(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("run", steps=3)
    trainer.run()
    again = make_trainer("run", steps=3, start=1)
    assert again.resume()
    position, before = again.position.chunk, weights(again)
    again.run()
    assert again.position.step == 3
    assert again.position.chunk == position
    assert different(before, weights(again)) == []


def test_loss_falls_when_one_episode_is_learned_by_heart(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("run", steps=100, kind=OneEpisodeFactory, episodes_per_chunk=2)
    lines: list[dict[str, Any]] = []
    trainer.run(on_log=lines.append)
    losses = [line["loss"] for line in lines]
    assert len(losses) >= 3
    assert losses[-1] < 0.6 * losses[0]
    assert {"detection", "fill", "repair", "step", "chunk", "encoder_tokens", "learning_rate"} <= set(lines[-1])


def test_a_loss_is_the_mean_over_answers_plus_weighted_detection(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("run")
    batch = make_chunk(trainer.factory, 0)[0]
    trainer.denoiser.eval()
    shape = {field.name: getattr(trainer.config, field.name) for field in fields(trainer.config)}
    with torch.no_grad():
        once = batch_losses(trainer.denoiser, batch, trainer.config)
        thrice = batch_losses(trainer.denoiser, batch, TrainingConfig(**shape | {"detection_weight": 3.0}))
    assert float(thrice.total - once.total) == pytest.approx(2 * once.detection, rel=1e-4)
    counts = [int((batch.target_task == number).sum()) for number in range(3)]
    names = ("fill", "repair", "name")
    mean = sum(once.tasks[name] * count for name, count in zip(names, counts, strict=True) if count) / sum(counts)
    assert float(once.total) == pytest.approx(mean + once.detection, rel=1e-4)


def test_only_matrices_of_linear_maps_decay(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("run", weight_decay=0.5)
    names = {parameter: name for name, parameter in trainer.denoiser.named_parameters()}
    decayed, others = ({names[one] for one in group["params"]} for group in trainer.optimizer.param_groups)
    assert [group["weight_decay"] for group in trainer.optimizer.param_groups] == [0.5, 0.0]
    assert "encoder.blocks.0.feed_forward.inner.weight" in decayed
    assert "decoder.output.weight" in decayed
    assert {"encoder.tokens.weight", "encoder.positions.weight", "decoder.output_bias"} <= others
    assert not [name for name in decayed if name.endswith("bias") or "norm" in name]
    assert len(decayed) + len(others) == len(names)


def test_gradients_are_clipped(make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    original = torch.nn.utils.clip_grad_norm_

    def spy(parameters: Any, norm: float) -> Tensor:
        asked.append(norm)
        return original(parameters, norm)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", spy)
    make_trainer("run", steps=3, clip_norm=0.25).run()
    assert asked == [0.25] * 3

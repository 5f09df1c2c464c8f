"""One loop: it learns, follows its schedule, and goes on after an interruption as if there had been none."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model.architecture import TupleDenoiser
from model.config import CorruptionConfig, ModelConfig, TrainingConfig
from model.corpus import CorpusTable
from model.dataset import BatchShape, ExampleFactory, Span, TrainingExample, collate, make_chunk
from model.errors import InputError
from model.serialization import Mask, TupleSerializer
from model.training import RecordedSteps, Trainer, batch_losses, learning_rate, make_optimizer, optimize

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
        folder: str,
        steps: int = 9,
        start: int = 0,
        kind: type[ExampleFactory] = ExampleFactory,
        dropout: float = 0.1,
        **changes: Any,
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
        denoiser = TupleDenoiser(ModelConfig(**shape | {"dropout": dropout}))
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


def test_a_loss_is_the_mean_over_answers_plus_weighted_detection_and_match(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("run")
    batch = make_chunk(trainer.factory, 0)[0]
    trainer.denoiser.eval()
    config = replace(trainer.config, match_weight=0.5)
    with torch.no_grad():
        once = batch_losses(trainer.denoiser, batch, config)
        thrice = batch_losses(trainer.denoiser, batch, replace(config, detection_weight=3.0))
        matched = batch_losses(trainer.denoiser, batch, replace(config, match_weight=2.5))
    means = once.means()
    assert float(thrice.total - once.total) == pytest.approx(2 * means["detection"], rel=1e-4)
    assert float(matched.total - once.total) == pytest.approx(2 * means["match"], rel=1e-4)
    counts = [int((batch.target_task == number).sum()) for number in range(3)]
    names = ("fill", "repair", "name")
    mean = sum(means[name] * count for name, count in zip(names, counts, strict=True) if count) / sum(counts)
    assert float(once.total) == pytest.approx(mean + means["detection"] + 0.5 * means["match"], rel=1e-4)


def test_padding_to_a_fixed_shape_changes_no_loss_and_no_gradient(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("run")
    trainer.denoiser.eval()
    examples = [one for one in trainer.factory.examples(random.Random(2)) if len(one.encoder_input) <= 200]
    shape = BatchShape.of(200, replace(trainer.config, batch_tokens=200 * (len(examples) + 3)))
    place = trainer.factory.serializer.config.value_position
    found = []
    for batch in (collate(examples, place), collate(examples, place, shape)):
        trainer.denoiser.zero_grad()
        losses = batch_losses(trainer.denoiser, batch, trainer.config)
        losses.total.backward()  # type: ignore[no-untyped-call]
        gradients = {name: one.grad for name, one in trainer.denoiser.named_parameters() if one.grad is not None}
        found.append((losses.means(), gradients))
    (means, gradients), (padded_means, padded_gradients) = found
    assert len(examples) > 4
    assert padded_means == pytest.approx(means, rel=1e-4)
    assert gradients.keys() == padded_gradients.keys()
    for name, gradient in gradients.items():
        assert torch.allclose(padded_gradients[name], gradient, atol=1e-5), name


def test_a_chunk_that_fills_no_batch_is_an_error_and_not_waited_for(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("run", fixed_shapes=1, batch_tokens=65536)
    with pytest.raises(InputError, match="more episodes"):
        trainer.run()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_recorded_step_makes_the_weights_of_an_eager_one(make_trainer: MakeTrainer) -> None:
    eager, recorded = make_trainer("eager", dropout=0.0), make_trainer("recorded", dropout=0.0)
    device = torch.device("cuda")
    batches = [batch for batch in make_chunk(eager.factory, 0) for _ in range(3)]
    for trainer in (eager, recorded):
        trainer.denoiser.to(device)
    optimizer = make_optimizer(recorded.denoiser, recorded.config, recorded=True)
    steps = RecordedSteps(recorded.denoiser, optimizer, recorded.config)
    plain = make_optimizer(eager.denoiser, eager.config)
    seen: set[tuple[int, ...]] = set()
    for batch in batches:
        shape = tuple(batch.encoder.ids.shape)
        for _ in range(1 if shape in seen else 2):  # the first of a shape is done twice
            optimize(eager.denoiser, plain, batch.to(device), eager.config)
        seen.add(shape)
        assert torch.isfinite(steps.step(batch).total)
    for one, other in zip(eager.denoiser.parameters(), recorded.denoiser.parameters(), strict=True):
        assert torch.allclose(one, other, atol=2e-2)


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


def test_a_span_is_learned_by_pointing_at_both_of_its_ends(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("spans", dropout=0.0)
    serializer = trainer.factory.serializer
    asked = serializer.serialize(["text", "color"], ["a red car", Mask()])
    question, first = int(asked.value_index[1]), int(asked.value_index[0]) + 1
    one = TrainingExample(asked, spans=(Span(question, first, first + 1), Span(question, question, question)))
    batch = collate([one], serializer.config.value_position)
    losses = batch_losses(trainer.denoiser, batch, trainer.config)
    states = trainer.denoiser.encode(batch.encoder)
    row = torch.zeros(1, dtype=torch.int64)
    scores = (
        trainer.denoiser.span_logits(states, batch.encoder, row, torch.tensor([question])).detach().log_softmax(1)[0]
    )
    expected = -float(scores[first, 0] + scores[first + 1, 1] + scores[question, 0] + scores[question, 1]) / 4
    assert losses.means() == pytest.approx({"span": expected}, rel=1e-3)
    assert losses.total.item() == pytest.approx(expected, rel=1e-3)

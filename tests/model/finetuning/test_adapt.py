"""Weights adapt to one relation, the same bits each time, and nobody else's weights change."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.checkpoint import Checkpoint, load_checkpoint
from model.config import CorruptionConfig, TrainingConfig
from model.corpus import CorpusTable
from model.dataset import ExampleFactory, make_chunk
from model.errors import ModelError, OptionError
from model.finetuning import adapt as adapt_module
from model.finetuning.adapt import MIN_STEPS, Adapted, adapt, steps_for
from model.inference.batching import TaskPool, run_task, run_tasks
from model.inference.cleaning import clean
from model.inference.completion import complete
from model.training import Losses, batch_losses, train_step
from model.tuples import (
    AdaptationOptions,
    Cell,
    CellExample,
    CleaningOptions,
    CleaningResult,
    CompletionOptions,
    CompletionTarget,
    Relation,
)

FEW = AdaptationOptions(max_steps=3, learning_rate=1e-4)


def weights(checkpoint: Checkpoint) -> dict[str, bytes]:
    """All weights, bit for bit."""
    return {
        name: tensor.contiguous().view(torch.uint8).numpy().tobytes()
        for name, tensor in checkpoint.denoiser.state_dict().items()
    }


def adapted_to(checkpoint: Checkpoint, relation: Relation, options: AdaptationOptions = FEW) -> Adapted:
    return run_task(checkpoint, adapt(checkpoint, relation, options))


@pytest.fixture(scope="module")
def adapted(checkpoint: Checkpoint, people: Relation) -> Adapted:
    return adapted_to(checkpoint, people)


@pytest.fixture()
def threads() -> Iterator[Callable[[int], None]]:
    """Sets torch's number of threads for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_steps_follow_from_the_size_of_the_relation_up_to_a_bound() -> None:
    def of(rows: int, columns: int, **options: int) -> int:
        relation = Relation.of([str(column) for column in range(columns)], [["x"] * columns] * rows)
        return steps_for(relation, AdaptationOptions(**options))

    assert of(8, 1) == MIN_STEPS == 20
    assert of(100, 10) == 25
    assert of(100, 10, cells_per_step=10) == 100
    assert of(1000, 20) == 400
    assert of(1000, 20, max_steps=7) == 7
    assert of(8, 1, max_steps=7) == 7


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_a_relation_of_a_few_tuples_is_refused(checkpoint: Checkpoint, rows: int) -> None:
    relation = Relation.of(["a"], [["x"]] * rows)
    for task in (
        adapt(checkpoint, relation),
        clean(checkpoint, relation, CleaningOptions(adapt=FEW)),
        complete(checkpoint, Relation.of(["a"], [[None]] * (rows or 1)), CompletionOptions(adapt=FEW)),
    ):
        with pytest.raises(OptionError, match="8 rows or more, the table has [017]$") as caught:
            run_task(checkpoint, task)
        assert caught.value.field == "adapt"


def test_options_that_allow_no_step_are_refused(people: Relation) -> None:
    for options in (AdaptationOptions(max_steps=0), AdaptationOptions(cells_per_step=0)):
        with pytest.raises(OptionError, match="at least one step"):
            steps_for(people, options)


def test_the_loaded_weights_stay_bit_for_bit_and_the_copy_differs(checkpoint: Checkpoint, people: Relation) -> None:
    before = weights(checkpoint)
    found = adapted_to(checkpoint, people)
    assert weights(checkpoint) == before
    assert not any(parameter.requires_grad for parameter in checkpoint.denoiser.parameters())
    after = weights(found.checkpoint)
    changed = [name for name in before if before[name] != after[name]]
    assert "encoder.tokens.weight" in changed and "detection.outer.weight" in changed
    assert len(changed) > len(before) / 2
    assert found.checkpoint.sha256 == found.adaptation.sha256 != checkpoint.sha256
    assert replace(found.checkpoint, denoiser=checkpoint.denoiser, sha256=checkpoint.sha256) == checkpoint


def test_the_copy_is_ready_for_inference(checkpoint: Checkpoint, adapted: Adapted) -> None:
    denoiser = adapted.checkpoint.denoiser
    assert not denoiser.training
    for parameter, original in zip(denoiser.parameters(), checkpoint.denoiser.parameters(), strict=True):
        assert (parameter.dtype, parameter.requires_grad, parameter.grad) == (original.dtype, False, None)
        assert parameter.data_ptr() != original.data_ptr()


def test_the_copy_keeps_the_number_format(checkpoint: Checkpoint, people: Relation) -> None:
    half = load_checkpoint(checkpoint.path, precision="bfloat16")
    found = adapted_to(half, people, AdaptationOptions(max_steps=1))
    assert {parameter.dtype for parameter in found.checkpoint.denoiser.parameters()} == {torch.bfloat16}
    assert found.checkpoint.precision == "bfloat16"


def test_adaptation_is_the_same_to_the_last_bit(checkpoint: Checkpoint, people: Relation, adapted: Adapted) -> None:
    torch.manual_seed(99)  # nothing depends on the process's own randomness
    again = adapted_to(checkpoint, people)
    assert weights(again.checkpoint) == weights(adapted.checkpoint)
    assert again.checkpoint.sha256 == adapted.checkpoint.sha256
    assert adapted_to(checkpoint, people, replace(FEW, seed=1)).checkpoint.sha256 != again.checkpoint.sha256


@pytest.mark.parametrize("seed", [1, 2])
def test_order_of_tuples_and_attributes_changes_no_bit(
    checkpoint: Checkpoint, people: Relation, adapted: Adapted, seed: int
) -> None:
    rng = random.Random(seed)
    rows, places = list(people.tuples), list(range(len(people.attributes)))
    rng.shuffle(rows)
    rng.shuffle(places)
    shuffled = Relation.of(
        [people.attributes[place] for place in places], [[row[place] for place in places] for row in rows]
    )
    assert shuffled.tuples != people.tuples
    assert adapted_to(checkpoint, shuffled).adaptation.sha256 == adapted.adaptation.sha256


@pytest.mark.parametrize("count", [2, 5])
def test_the_number_of_threads_changes_no_bit_and_is_left_as_it_was(
    checkpoint: Checkpoint, people: Relation, adapted: Adapted, threads: Callable[[int], None], count: int
) -> None:
    threads(count)
    assert adapted_to(checkpoint, people).adaptation.sha256 == adapted.adaptation.sha256
    assert torch.get_num_threads() == count


def test_company_changes_no_bit(checkpoint: Checkpoint, people: Relation, adapted: Adapted) -> None:
    other = Relation.of(people.attributes, people.tuples[:12])
    one, two, cleaned = run_tasks(
        checkpoint, [adapt(checkpoint, people, FEW), adapt(checkpoint, other, FEW), clean(checkpoint, people)]
    )
    assert isinstance(one, Adapted) and isinstance(two, Adapted)
    assert one.adaptation.sha256 == adapted.adaptation.sha256 != two.adaptation.sha256
    assert isinstance(cleaned, CleaningResult)
    assert cleaned.repairs == run_task(checkpoint, clean(checkpoint, people)).repairs


def table_loss(checkpoint: Checkpoint, relation: Relation, task: str) -> float:
    """Mean loss of one task over examples of the relation that adapting did not draw."""
    training = TrainingConfig(seed=77, batch_tokens=2048, max_tokens=512, episodes_per_chunk=4)
    table = CorpusTable("a:b", "", "", relation)
    factory = ExampleFactory([table], checkpoint.serializer, training, CorruptionConfig())
    with torch.no_grad():
        losses = [batch_losses(checkpoint.denoiser, batch, training).means() for batch in make_chunk(factory, 0)]
    return float(np.mean([one[task] for one in losses if task in one]))


def test_the_loss_on_masked_cells_of_the_relation_falls(checkpoint: Checkpoint, people: Relation) -> None:
    options = AdaptationOptions(max_steps=40, cells_per_step=1, learning_rate=1e-2)
    found = adapted_to(checkpoint, people, options)
    assert found.adaptation.steps == 40
    for task in ("fill", "repair"):
        before = table_loss(checkpoint, people, task)
        after = table_loss(found.checkpoint, people, task)
        assert after < 0.7 * before, task


def test_what_it_took_is_counted_and_told(checkpoint: Checkpoint, people: Relation) -> None:
    told: list[tuple[str, int, int]] = []
    task = adapt(checkpoint, people, FEW, lambda *progress: told.append(progress))
    found = run_task(checkpoint, task).adaptation
    assert told == [("adapt", 1, 3), ("adapt", 2, 3), ("adapt", 3, 3)]
    assert found.steps == 3
    assert 3 * 400 < found.encoder_tokens <= 3 * 1024
    assert 0 < found.seconds < 60


def test_batches_are_short_enough_to_wait_for(checkpoint: Checkpoint, people: Relation) -> None:
    long = Relation.of(people.attributes, [[(value or "") * 20 for value in row] for row in people.tuples])
    pool, tokens = TaskPool(checkpoint), []

    def spy(denoiser: object, optimizer: object, batch: object, *rest: object) -> Losses:
        tokens.append(batch.encoder.ids.numel())  # type: ignore[attr-defined]
        return train_step(denoiser, optimizer, batch, *rest)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapt_module, "train_step", spy)
        pool.add(adapt(checkpoint, long, replace(FEW, max_steps=6)))
        while len(pool):
            pool.step()
    assert len(tokens) == 6
    assert max(tokens) <= 1024


def test_a_cancelled_task_makes_no_further_step(
    checkpoint: Checkpoint, people: Relation, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def counted(*arguments: object) -> Losses:
        made.append(1)
        return train_step(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(adapt_module, "train_step", counted)
    pool = TaskPool(checkpoint)
    task_id = pool.add(clean(checkpoint, people, CleaningOptions(adapt=AdaptationOptions(max_steps=100))))
    pool.step()
    pool.step()
    assert made == [1, 1]
    pool.cancel(task_id)
    assert pool.step() == [] and len(pool) == 0
    assert made == [1, 1]


def test_a_loss_that_is_no_number_ends_the_task(
    checkpoint: Checkpoint, people: Relation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> Losses:
        return Losses(torch.tensor(float("nan")), {})

    monkeypatch.setattr(adapt_module, "train_step", broken)
    with pytest.raises(ModelError, match="not a finite number"):
        adapted_to(checkpoint, people)


STRANGE: dict[str, tuple[Sequence[str], Sequence[Sequence[str | None]]]] = {
    "nothing but missing values": (["a", "b"], [[None, ""]] * 8),
    "one column of one value": (["a"], [["x"]] * 9),
    "names that are equal": (["a", "a", ""], [["1", "2", str(row)] for row in range(12)]),
    "long values": (["a", "b"], [["word " * 3000, str(row)] for row in range(8)]),
    "more columns than the model reads": (
        [f"c{n}" for n in range(60)],
        [[str(row * n) for n in range(60)] for row in range(8)],
    ),
    "no known letters": (["é\x00"], [["\U0001f9e0\n\t"]] * 10),
}


@pytest.mark.parametrize("name", STRANGE)
def test_strange_tables_are_adapted_to(checkpoint: Checkpoint, name: str) -> None:
    attributes, rows = STRANGE[name]
    found = adapted_to(checkpoint, Relation.of(attributes, rows))
    assert found.adaptation.steps == 3
    assert all(bool(torch.isfinite(one).all()) for one in found.checkpoint.denoiser.parameters())


def test_cleaning_answers_with_the_adapted_weights(checkpoint: Checkpoint, people: Relation, adapted: Adapted) -> None:
    told: set[str] = set()
    options = CleaningOptions(adapt=FEW, min_confidence=0.3)
    result = run_task(checkpoint, clean(checkpoint, people, options, lambda stage, done, total: told.add(stage)))
    by_hand = run_task(adapted.checkpoint, clean(adapted.checkpoint, people, CleaningOptions(min_confidence=0.3)))
    plain = run_task(checkpoint, clean(checkpoint, people, CleaningOptions(min_confidence=0.3)))
    assert result.repairs == by_hand.repairs != plain.repairs
    assert len(result.repairs) > 10
    assert result.usage.adaptation is not None and plain.usage.adaptation is None
    assert result.usage.adaptation.sha256 == adapted.checkpoint.sha256
    assert result.usage.encoder_tokens == by_hand.usage.encoder_tokens
    assert result.usage.seconds > result.usage.adaptation.seconds
    assert told == {"adapt", "detect", "repair"}


def test_known_values_are_learned_from(checkpoint: Checkpoint, people: Relation) -> None:
    example = CellExample(Cell(3, 3), "Reykjavík")
    result = run_task(checkpoint, clean(checkpoint, people, CleaningOptions(adapt=FEW, examples=(example,))))
    rows = [list(values) for values in people.tuples]
    rows[3][3] = "Reykjavík"
    corrected = adapted_to(checkpoint, Relation.of(people.attributes, rows))
    assert result.usage.adaptation is not None
    assert result.usage.adaptation.sha256 == corrected.adaptation.sha256


def test_completion_never_learns_what_stands_in_a_target(checkpoint: Checkpoint, people: Relation) -> None:
    targets = tuple(CompletionTarget(Cell(row, 3), "B") for row in range(4))
    options = CompletionOptions(targets, adapt=FEW)
    result = run_task(checkpoint, complete(checkpoint, people, options))
    rows = [list(values) for values in people.tuples]
    for row in range(4):
        rows[row][3] = None
    hidden = adapted_to(checkpoint, Relation.of(people.attributes, rows))
    by_hand = run_task(hidden.checkpoint, complete(hidden.checkpoint, people, CompletionOptions(targets)))
    assert result.completions == by_hand.completions
    assert result.usage.adaptation is not None
    assert result.usage.adaptation.sha256 == hidden.adaptation.sha256


def test_without_a_target_nothing_is_adapted(checkpoint: Checkpoint) -> None:
    whole = Relation.of(["a"], [["x"]] * 10)
    result = run_task(checkpoint, complete(checkpoint, whole, CompletionOptions(adapt=FEW)))
    assert (result.completions, result.usage.adaptation) == ((), None)

"""ATP learns decisions while it tunes: it starts dense, finds what is useless, meets its size, and cuts exactly."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from model.architecture import TupleDenoiser
from model.compression import atp
from model.compression.atp import (
    ATPOptions,
    Decider,
    Pruned,
    batches,
    prune,
    resource_loss,
    sparsity_schedule,
    task_loss,
)
from model.compression.cutting import cut
from model.compression.masking import MaskedDenoiser
from model.compression.structures import kept_share, linear
from model.config import TrainingConfig
from model.dataset import ExampleFactory, TrainingBatch

OPTIONS = ATPOptions(keep=0.6, rank=4, decision_rate=5e-2)
USELESS = {"encoder.blocks.1.feed_forward": [3, 17, 40], "encoder.blocks.0.attention.value": [2]}


@pytest.fixture(scope="module", autouse=True)
def in_32_bits() -> Iterator[None]:
    """Equal losses are equal in 32 bits; in 16, where a processor has them, a matrix that is cut rounds otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atp, "native_precision", lambda: "float32")
        yield


@pytest.fixture(scope="module")
def planted(denoiser: TupleDenoiser) -> TupleDenoiser:
    """A denoiser in which some units do nothing: what they lead to is zero."""
    made = copy.deepcopy(denoiser)
    linear(made, "encoder.blocks.1.feed_forward.outer").weight[:, USELESS["encoder.blocks.1.feed_forward"]] = 0.0
    out = linear(made, "encoder.blocks.0.attention.out")
    out.weight.view(-1, 4, 8)[:, :, USELESS["encoder.blocks.0.attention.value"]] = 0.0
    return made


@pytest.fixture(scope="module")
def run(planted: TupleDenoiser, source: ExampleFactory) -> tuple[Pruned, list[dict[str, float]]]:
    """One short run with its log."""
    records: list[dict[str, float]] = []
    training = replace(source.training, steps=25, warmup_steps=2)
    tuning = ExampleFactory(source.tables[:3], source.serializer, training, source.corruption)
    deciding = ExampleFactory(source.tables[3:], source.serializer, training, source.corruption)
    return prune(planted, tuning, deciding, OPTIONS, records.append), records


def test_the_first_step_is_dense_and_the_loss_that_of_the_dense_model(
    planted: TupleDenoiser, source: ExampleFactory, run: tuple[Pruned, list[dict[str, float]]]
) -> None:
    first = run[1][0]
    training = replace(source.training, steps=25, warmup_steps=2)
    tuning = ExampleFactory(source.tables[:3], source.serializer, training, source.corruption)
    with torch.no_grad():
        loss = task_loss(planted, next(batches(tuning)), training)
    assert first["kept"] == 1.0
    assert first["resource_loss"] == pytest.approx(math.log(1 / 0.6))
    assert first["tuning_loss"] == pytest.approx(loss.item(), rel=1e-5)


def test_the_size_is_met_within_half_a_percent_and_stays_frozen(run: tuple[Pruned, list[dict[str, float]]]) -> None:
    pruned, records = run
    assert pruned.story["kept_share"] == pytest.approx(0.6, rel=0.005)
    assert pruned.story["frozen_from_step"] == 15
    assert {record["kept_now"] for record in records[15:]} == {pruned.story["kept_share"]}
    assert all("decision_loss" not in record for record in records[15:])
    # Drawing, too, has come down from the dense model to the wanted size.
    assert records[14]["kept"] == pytest.approx(0.6, abs=0.1)


def test_changes_of_removed_units_are_zero_so_cutting_changes_nothing(
    run: tuple[Pruned, list[dict[str, float]]], source: ExampleFactory
) -> None:
    pruned, _ = run
    assert pruned.story["largest_change_of_a_removed_unit"] == 0.0
    masked = MaskedDenoiser(pruned.denoiser)
    masked.show(pruned.masks)
    smaller = cut(pruned.denoiser, pruned.masks)
    batch = next(batches(source))
    with torch.no_grad():
        wanted = task_loss(masked.denoiser, batch, source.training)
        found = task_loss(smaller, batch, source.training)
        assert found.item() == pytest.approx(wanted.item(), rel=1e-5)
        assert abs(task_loss(pruned.denoiser, batch, source.training).item() - wanted.item()) > 1e-3


def test_gradients_reach_every_weight_of_the_generator_and_push_useless_units_down(
    planted: TupleDenoiser, source: ExampleFactory
) -> None:
    torch.manual_seed(0)
    decider = Decider(MaskedDenoiser(planted, 4), source, OPTIONS, steps=4)
    decider.masked.denoiser.requires_grad_(False)
    network = decider.network
    logits = network()
    for one in logits.values():
        one.retain_grad()
    soft = {name: torch.sigmoid((one + 3.0) / 0.4 - 5.0) for name, one in logits.items()}
    loss = decider._task_loss(soft)
    loss.backward()  # type: ignore[no-untyped-call]
    assert [name for name, one in network.named_parameters() if one.grad is None or not bool(one.grad.any())] == []
    for name, places in USELESS.items():
        gradient = logits[name].grad
        assert gradient is not None
        alive = torch.ones(len(gradient), dtype=torch.bool)
        alive[places] = False
        # No task asks for them, so of all units they are the ones that the size alone decides.
        assert float(gradient[~alive].abs().max()) < 1e-9 < float(gradient[alive].abs().min())


def test_planted_useless_units_are_removed(
    planted: TupleDenoiser, source: ExampleFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def distance(denoiser: TupleDenoiser, batch: TrainingBatch, training: TrainingConfig) -> Tensor:
        """From what the dense model says, so that a unit that does something is missed."""
        states = [one.encode(batch.encoder) for one in (denoiser, planted)]
        hidden = [
            one.decode(state, batch.encoder, batch.answers)
            for one, state in zip((denoiser, planted), states, strict=True)
        ]
        return 3 * torch.stack([(one - other).abs().mean() for one, other in (states, hidden)]).sum()

    monkeypatch.setattr("model.compression.atp.task_loss", distance)
    torch.manual_seed(0)
    masked = MaskedDenoiser(planted, 4)
    decider = Decider(masked, source, replace(OPTIONS, resource_weight=1.0), steps=25)
    for number in range(25):
        decider.step(number)
    logits = decider.network()
    for name, places in USELESS.items():
        assert sorted(logits[name].argsort()[: len(places)].tolist()) == places, name
    # All else does something, and at so low a price nearly all of it stays, though the target is far.
    assert kept_share(masked.structures, decider.draw()).item() > 0.9


def test_deciding_changes_no_weight_of_the_network(planted: TupleDenoiser, source: ExampleFactory) -> None:
    torch.manual_seed(0)
    masked = MaskedDenoiser(planted, 4)
    before = {name: tensor.clone() for name, tensor in masked.denoiser.state_dict().items()}
    trained = {name for name, one in masked.denoiser.named_parameters() if one.requires_grad}
    decider = Decider(masked, source, OPTIONS, steps=2)
    decider.step(0)
    masked.show(None)
    assert [name for name, one in masked.denoiser.state_dict().items() if not torch.equal(one, before[name])] == []
    assert {name for name, one in masked.denoiser.named_parameters() if one.requires_grad} == trained
    assert [name for name, one in masked.denoiser.named_parameters() if one.grad is not None] == []


@pytest.fixture(scope="module")
def short(source: ExampleFactory) -> ExampleFactory:
    return ExampleFactory(
        source.tables, source.serializer, replace(source.training, steps=5, warmup_steps=0), source.corruption
    )


def test_without_the_proximal_step_cutting_would_change_what_was_tuned(
    planted: TupleDenoiser, short: ExampleFactory
) -> None:
    with_it, without = (
        prune(planted, short, short, replace(OPTIONS, decided=0.2, proximal=proximal)).story
        for proximal in (True, False)
    )
    assert with_it["largest_change_of_a_removed_unit"] == 0.0
    assert without["largest_change_of_a_removed_unit"] > 0.1


def test_a_frozen_generator_keeps_what_it_was_drawn_with(planted: TupleDenoiser, short: ExampleFactory) -> None:
    records: list[dict[str, float]] = []
    pruned = prune(planted, short, short, replace(OPTIONS, trained=False), records.append)
    assert all("decision_loss" not in record for record in records)
    assert [record["kept_now"] for record in records[:3]] == [1.0, 1.0, 1.0]
    assert pruned.story["kept_share"] == pytest.approx(0.6, rel=0.005)


def test_a_free_table_of_logits_can_take_the_generators_place(planted: TupleDenoiser, short: ExampleFactory) -> None:
    table = prune(planted, short, short, replace(OPTIONS, generator=False))
    generated = prune(planted, short, short, OPTIONS)
    assert table.story["kept_share"] == pytest.approx(0.6, rel=0.005)
    assert any(not torch.equal(table.masks[name], mask) for name, mask in generated.masks.items())


def test_a_run_follows_from_its_seed_and_leaves_the_given_model_alone(
    planted: TupleDenoiser, short: ExampleFactory
) -> None:
    before = {name: tensor.clone() for name, tensor in planted.state_dict().items()}
    one, other = (prune(planted, short, short, OPTIONS) for _ in range(2))
    assert all(torch.equal(one.masks[name], mask) for name, mask in other.masks.items())
    weights = other.denoiser.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in one.denoiser.state_dict().items())
    assert all(torch.equal(tensor, before[name]) for name, tensor in planted.state_dict().items())


@pytest.mark.parametrize(("share", "slope"), [(0.9, 1), (0.6, 0), (0.3, -1)])
def test_the_resource_loss_pulls_towards_the_target_from_both_sides(share: float, slope: int) -> None:
    kept: Tensor = torch.tensor(share, dtype=torch.float64, requires_grad=True)
    loss = resource_loss(kept, 0.6)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(abs(math.log(share / 0.6)), abs=1e-8)
    assert kept.grad is not None
    assert slope == 0 or math.copysign(1, kept.grad.item()) == slope


def test_the_sparsity_schedule_goes_gently_from_nothing_to_all() -> None:
    assert [round(sparsity_schedule(progress), 3) for progress in (0.0, 0.25, 0.5, 1.0)] == [0.0, 0.165, 0.378, 1.0]


@pytest.mark.parametrize("wrong", [{"keep": 0.0}, {"keep": 1.5}, {"decided": 0.0}, {"exact": 0.5}, {"rank": 0}])
def test_impossible_options_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="keep|decided|rank"):
        replace(ATPOptions(), **wrong)  # type: ignore[arg-type]

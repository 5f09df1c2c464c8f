"""One thread answers everybody: results, errors and cancellations all reach the one who asked, and no more get in
than there is room for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import pytest

from model.checkpoint import Checkpoint
from model.inference.batching import DetectCall, Finished, ModelTask, TaskPool, run_task
from model.inference.cleaning import clean
from model.serialization import TupleSerializer
from service.engine import (
    AdaptationOptions,
    CleaningOptions,
    CompletionOptions,
    Engine,
    EngineState,
    InputError,
    Load,
    NotReadyError,
    QueueFullError,
    Relation,
)

Start = Callable[..., Engine]
SECONDS = 30


@pytest.fixture
def start(checkpoint: Checkpoint) -> Iterator[Start]:
    """Start engines of the tiny model; all are stopped at the end."""
    started: list[Engine] = []

    def make(folder: Path | None = None, **options: Any) -> Engine:
        engine = Engine(folder or checkpoint.path, precision="float32", threads=1, **options)
        engine.start()
        started.append(engine)
        return engine

    yield make
    for engine in started:
        engine.stop()


class Gate:
    """A task that waits in the device thread until it is let go; `entered` says that it has begun."""

    def __init__(self, result: object = "done") -> None:
        self.entered = threading.Event()
        self.open = threading.Event()
        self.closed = threading.Event()
        self.result = result

    def __call__(self, checkpoint: Checkpoint) -> ModelTask[object]:
        self.entered.set()
        try:
            assert self.open.wait(SECONDS)
            yield [self._call(checkpoint.serializer)]
            if isinstance(self.result, Exception):
                raise self.result
            return self.result
        finally:
            self.closed.set()

    def _call(self, serializer: TupleSerializer) -> DetectCall:
        return DetectCall(serializer.serialize(["a"], ["1"]))


def test_answers_are_those_of_the_model(start: Start, checkpoint: Checkpoint, people: Relation) -> None:
    engine = start()
    engine.wait_ready()
    result = engine.clean(people, CleaningOptions()).result(SECONDS)
    alone = run_task(checkpoint, clean(checkpoint, people))
    assert result.repairs == alone.repairs
    assert len(result.repairs) > 10
    filled = engine.complete(people, CompletionOptions()).result(SECONDS)
    missing = sum(not value for values in people.tuples for value in values)
    assert len(filled.completions) == missing > 0


def test_the_description_is_that_of_the_checkpoint(start: Start, checkpoint: Checkpoint) -> None:
    engine = start()
    engine.wait_ready()
    described = engine.description
    assert (described.name, described.version, described.sha256) == ("tiny", "1.2.3", checkpoint.sha256)
    assert described.parameters == checkpoint.parameters
    assert described.size == (checkpoint.path / "weights.safetensors").stat().st_size


def test_a_folder_without_a_model_fails_and_says_why(start: Start, tmp_path: Path) -> None:
    engine = start(tmp_path / "nothing")
    with pytest.raises(NotReadyError, match="no checkpoint folder 'nothing'"):
        engine.wait_ready()
    assert engine.state is EngineState.FAILED
    with pytest.raises(NotReadyError, match="cannot be loaded"):
        engine.submit(Gate())
    with pytest.raises(NotReadyError):
        _ = engine.description


def test_a_model_without_calibrators_is_not_served(start: Start, bare_checkpoint: Checkpoint) -> None:
    engine = start(bare_checkpoint.path)
    with pytest.raises(NotReadyError, match="not been calibrated"):
        engine.wait_ready()


def test_model_exception_reaches_the_caller_and_nobody_else(start: Start, people: Relation) -> None:
    engine = start()
    engine.wait_ready()
    broken, good = Gate(InputError("the table is at fault", tuple_id=1)), Gate("good")
    futures = [engine.submit(broken), engine.submit(good)]
    broken.open.set()
    good.open.set()
    with pytest.raises(InputError, match="the table is at fault") as caught:
        futures[0].result(SECONDS)
    assert caught.value.tuple_id == 1
    assert futures[1].result(SECONDS) == "good"
    assert engine.clean(people, CleaningOptions()).result(SECONDS).repairs


def test_no_more_get_in_than_there_is_room_for(start: Start) -> None:
    engine = start(max_requests=3, max_running=1)
    engine.wait_ready()
    gates = [Gate(number) for number in range(4)]
    futures: list[Future[object]] = [engine.submit(gates[0])]
    assert gates[0].entered.wait(SECONDS)
    futures += [engine.submit(gate) for gate in gates[1:3]]
    with pytest.raises(QueueFullError) as caught:
        engine.submit(gates[3])
    assert 1 <= caught.value.retry_after <= 60
    with pytest.raises(QueueFullError):
        engine.check_open()
    for gate in gates:
        gate.open.set()
    assert [future.result(SECONDS) for future in futures] == [0, 1, 2]
    engine.check_open()
    assert engine.load == Load(0, 0)


def test_a_cancelled_request_leaves_at_once_and_its_generator_is_closed(start: Start) -> None:
    engine = start(max_requests=2, max_running=1)
    engine.wait_ready()
    first, second = Gate(), Gate()
    running, waiting = engine.submit(first), engine.submit(second)
    assert first.entered.wait(SECONDS)
    assert waiting.cancel()
    assert running.cancel()
    first.open.set()
    assert first.closed.wait(SECONDS)
    third = Gate("third")
    third.open.set()
    for _ in range(100):
        try:
            assert engine.submit(third).result(SECONDS) == "third"
            break
        except QueueFullError:
            threading.Event().wait(0.05)
    else:
        pytest.fail("the cancelled requests were never let go")
    assert not second.entered.is_set()


def test_cancelled_requests_that_wait_make_room_while_others_run(start: Start) -> None:
    engine = start(max_requests=3, max_running=1)
    engine.wait_ready()

    def endless(checkpoint: Checkpoint) -> ModelTask[None]:
        while True:
            yield [DetectCall(checkpoint.serializer.serialize(["a"], ["1"]))]

    running = engine.submit(endless)
    waiting = [engine.submit(Gate()) for _ in range(2)]
    with pytest.raises(QueueFullError):
        engine.check_open()
    assert all(one.cancel() for one in waiting)
    deadline = time.monotonic() + SECONDS
    while engine.load != Load(1, 0):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    engine.check_open()
    running.cancel()


def test_a_draining_engine_finishes_what_it_has_and_takes_no_more(start: Start) -> None:
    engine = start()
    engine.wait_ready()
    gate = Gate("finished")
    future = engine.submit(gate)
    assert gate.entered.wait(SECONDS)
    engine.drain()
    assert engine.state is EngineState.DRAINING
    with pytest.raises(NotReadyError, match="stopping"):
        engine.submit(Gate())
    gate.open.set()
    assert future.result(SECONDS) == "finished"
    engine.stop(1)
    assert str(engine.state) == "stopped"


def test_stopping_cancels_what_has_not_ended_in_time(start: Start) -> None:
    engine = start(max_running=1)
    engine.wait_ready()
    first, second = Gate(), Gate()
    futures = [engine.submit(first), engine.submit(second)]
    assert first.entered.wait(SECONDS)
    threading.Timer(0.3, first.open.set).start()
    engine.stop(0.05)
    for future in futures:
        with pytest.raises(CancelledError):
            future.result(SECONDS)
    assert engine.state is EngineState.STOPPED


def test_many_threads_at_once_all_get_their_own_answer(start: Start, people: Relation) -> None:
    engine = start(max_requests=64)
    engine.wait_ready()
    parts = [Relation.of(people.attributes, people.tuples[number : number + 4]) for number in range(12)]
    expected = [engine.clean(part, CleaningOptions()).result(SECONDS).repairs for part in parts]
    answers: dict[int, object] = {}

    def ask(number: int) -> None:
        answers[number] = engine.clean(parts[number], CleaningOptions()).result(SECONDS).repairs

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answers[number] for number in range(len(parts))] == expected


def test_what_cannot_even_begin_fails_alone(start: Start, people: Relation) -> None:
    engine = start()
    engine.wait_ready()

    def broken(checkpoint: Checkpoint) -> ModelTask[object]:
        raise RuntimeError("no task at all")

    with pytest.raises(RuntimeError, match="no task at all"):
        engine.submit(broken).result(SECONDS)
    assert engine.clean(people, CleaningOptions()).result(SECONDS).repairs


def test_a_fault_of_the_pool_ends_what_ran_and_the_engine_goes_on(
    start: Start, people: Relation, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start()
    engine.wait_ready()
    step = TaskPool.step
    faults = [RuntimeError("the pool broke")]

    def faulty(pool: TaskPool) -> list[Finished]:
        if faults:
            raise faults.pop()
        return step(pool)

    monkeypatch.setattr(TaskPool, "step", faulty)
    with pytest.raises(RuntimeError, match="the pool broke"):
        engine.clean(people, CleaningOptions()).result(SECONDS)
    assert engine.clean(people, CleaningOptions()).result(SECONDS).repairs
    assert engine.load == Load(0, 0)


FEW = AdaptationOptions(max_steps=3)


def test_an_adapted_answer_is_for_the_one_who_asked_only(
    start: Start, checkpoint: Checkpoint, people: Relation
) -> None:
    engine = start()
    engine.wait_ready()
    few = Relation.of(people.attributes, people.tuples[:9])
    asked = [engine.clean(few, CleaningOptions(adapt=adapt)) for adapt in (FEW, None, FEW)]
    first, plain, second = (future.result(SECONDS) for future in asked)
    assert plain.repairs == run_task(checkpoint, clean(checkpoint, few)).repairs
    assert first.repairs == second.repairs != plain.repairs
    assert first.usage.adaptation is not None and second.usage.adaptation is not None
    assert first.usage.adaptation.sha256 == second.usage.adaptation.sha256
    assert engine.clean(few, CleaningOptions()).result(SECONDS).repairs == plain.repairs
    assert engine.description.sha256 == checkpoint.sha256
    filled = engine.complete(few, CompletionOptions(adapt=FEW)).result(SECONDS)
    assert filled.usage.adaptation is not None


def test_one_adapts_at_a_time_and_those_behind_go_first(start: Start) -> None:
    engine = start(max_requests=8, max_running=3)
    engine.wait_ready()
    order: list[str] = []

    def task(name: str, wait: Future[None] | None = None) -> Callable[[Checkpoint], ModelTask[None]]:
        def run(checkpoint: Checkpoint) -> ModelTask[None]:
            order.append(name)
            while wait is not None and not wait.done():
                yield [DetectCall(checkpoint.serializer.serialize(["a"], ["1"]))]

        return run

    go: Future[None] = Future()
    first = engine.submit(task("adapts", go), adapts=True)
    second = engine.submit(task("adapts too"), adapts=True)
    engine.submit(task("plain")).result(SECONDS)
    assert order == ["adapts", "plain"]
    assert engine.load == Load(1, 1)
    go.set_result(None)
    first.result(SECONDS)
    second.result(SECONDS)
    assert order == ["adapts", "plain", "adapts too"]


def test_those_who_adapt_get_half_of_the_places(start: Start) -> None:
    engine = start(max_requests=4, max_running=1)
    engine.wait_ready()
    gates = [Gate() for _ in range(4)]
    futures = [engine.submit(gate, adapts=True) for gate in gates[:2]]
    with pytest.raises(QueueFullError) as caught:
        engine.submit(gates[2], adapts=True)
    assert caught.value.retry_after == 60
    futures.append(engine.submit(gates[3]))
    for gate in gates:
        gate.open.set()
    assert [future.result(SECONDS) for future in futures] == ["done"] * 3


def test_cleaning_and_completion_with_adapt_take_such_places(start: Start, people: Relation) -> None:
    engine = start(max_requests=4, max_running=1)
    engine.wait_ready()
    gate = Gate()
    futures: list[Future[object]] = [engine.submit(gate, adapts=True)]
    cleaned = engine.clean(people, CleaningOptions(adapt=FEW))
    with pytest.raises(QueueFullError):
        engine.complete(people, CompletionOptions(adapt=FEW))
    plain = engine.complete(people, CompletionOptions(targets=()))
    assert cleaned.cancel()
    gate.open.set()
    assert [future.result(SECONDS) for future in futures] == ["done"]
    assert plain.result(SECONDS).completions == ()


def test_a_client_who_hangs_up_ends_the_adaptation_between_two_steps(
    start: Start, people: Relation, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start()
    engine.wait_ready()
    steps: list[int] = []
    future = engine.clean(
        people,
        CleaningOptions(adapt=AdaptationOptions(max_steps=5_000, cells_per_step=1)),
        lambda stage, done, total: steps.append(done),
    )
    deadline = time.monotonic() + SECONDS
    while len(steps) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert future.cancel()
    while engine.load != Load(0, 0):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    made = len(steps)
    assert engine.clean(people, CleaningOptions()).result(SECONDS).repairs
    assert len(steps) == made < 240

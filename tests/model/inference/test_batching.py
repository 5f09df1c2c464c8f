"""Tasks share batches, and none can tell: same numbers, own errors, own end."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.architecture import EncoderBatch, TupleDenoiser
from model.checkpoint import Checkpoint
from model.config import ModelConfig
from model.errors import InputError
from model.inference import batching
from model.inference.batching import (
    ANSWER_ROWS,
    BATCH_TOKENS,
    BUCKETS,
    STEP_TURNS,
    AnswerCall,
    BatchedCall,
    DetectCall,
    Finished,
    ModelAnswer,
    ModelCall,
    ModelTask,
    StateCache,
    StepCall,
    TaskPool,
    answered_by,
    bucket,
    run_batch,
    run_task,
)
from model.inference.generation import MAX_QUERIES, AnswerQuery
from model.inference.reading import Reader
from model.serialization import EncoderInput, TupleSerializer
from model.tuples import Relation

Plain = list[object]


def asking(calls: Sequence[ModelCall]) -> ModelTask[list[ModelAnswer]]:
    """A task that makes some calls at once and gives their answers."""
    answers = yield list(calls)
    return list(answers)


def plain(answers: object) -> Plain:
    """Answers as values that can be compared."""
    assert isinstance(answers, list)
    return [answer.tolist() if isinstance(answer, np.ndarray) else answer for answer in answers]


def finish(pool: TaskPool) -> dict[int, Finished]:
    """Run a pool to its end."""
    finished: dict[int, Finished] = {}
    while len(pool):
        finished |= {one.task_id: one for one in pool.step()}
    return finished


def calls_about(checkpoint: Checkpoint, relation: Relation, count: int) -> list[BatchedCall]:
    """Detection of some tuples and questions about others."""
    reader = Reader(checkpoint, relation)
    calls: list[BatchedCall] = []
    for tuple_id in range(count):
        one = reader.encoder_input(tuple_id, 0)
        calls.append(DetectCall(one))
        held = tuple(value for value in relation.tuples[tuple_id] if value)
        queries = tuple(AnswerQuery("repair", column, held) for column in range(1, 1 + tuple_id % MAX_QUERIES))
        calls.append(AnswerCall(one, (*queries, AnswerQuery("fill", 4, prefix="B" * (tuple_id % 2)))[:MAX_QUERIES]))
    return calls


@pytest.fixture(scope="module")
def calls(bare_checkpoint: Checkpoint, people: Relation) -> list[BatchedCall]:
    return calls_about(bare_checkpoint, people, 14)


@pytest.fixture(scope="module")
def alone(bare_checkpoint: Checkpoint, calls: list[BatchedCall]) -> list[Plain]:
    """The answer to each call by a task and a pool of its own."""
    return [plain(run_task(bare_checkpoint, asking([call]))) for call in calls]


@pytest.fixture()
def batches(monkeypatch: pytest.MonkeyPatch) -> list[list[BatchedCall]]:
    """The calls of every batch that runs."""
    ran: list[list[BatchedCall]] = []

    def spy(checkpoint: Checkpoint, calls: Sequence[BatchedCall], cache: StateCache | None) -> list[ModelAnswer]:
        ran.append(list(calls))
        return run_batch(checkpoint, calls, cache)

    monkeypatch.setattr(batching, "run_batch", spy)
    return ran


def test_answers_are_those_of_each_call_alone_in_any_order(
    bare_checkpoint: Checkpoint, calls: list[BatchedCall], alone: list[Plain]
) -> None:
    for seed in range(3):
        order = random.Random(seed).sample(range(len(calls)), len(calls))
        together = run_task(bare_checkpoint, asking([calls[number] for number in order]))
        assert plain(together) == [alone[number][0] for number in order]


def test_answers_are_the_same_in_any_company(
    bare_checkpoint: Checkpoint, calls: list[BatchedCall], alone: list[Plain]
) -> None:
    pool = TaskPool(bare_checkpoint)
    order = random.Random(9).sample(range(len(calls)), len(calls))
    ids = {number: pool.add(asking([calls[number]])) for number in order[:20]}
    finished = {one.task_id: one for one in pool.step()}
    ids |= {number: pool.add(asking([calls[number]])) for number in order[20:]}  # some join later
    finished |= finish(pool)
    assert len(finished) == len(calls)
    for number, task_id in ids.items():
        assert plain(finished[task_id].result) == alone[number]


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_model_of_full_width_gives_each_row_the_same_numbers_in_any_place(
    bare_checkpoint: Checkpoint, people: Relation, make_denoiser: Callable[..., TupleDenoiser], precision: torch.dtype
) -> None:
    tokenizer = bare_checkpoint.serializer.tokenizer
    config = ModelConfig(vocabulary_size=3000, encoder_layers=1, decoder_layers=1, max_value_tokens=5)
    full = replace(
        bare_checkpoint,
        config=config,
        serializer=TupleSerializer(tokenizer, config),
        denoiser=make_denoiser(config, 1).to(precision),
    )
    calls = calls_about(full, people, 4)
    alone = [plain(run_task(full, asking([call])))[0] for call in calls]
    for order in (range(len(calls)), range(len(calls) - 1, -1, -1)):
        together = plain(run_task(full, asking([calls[number] for number in order])))
        assert together == [alone[number] for number in order]


def test_detection_has_one_logit_for_each_attribute(bare_checkpoint: Checkpoint, calls: list[BatchedCall]) -> None:
    answers = run_task(bare_checkpoint, asking(calls[::2]))
    assert {answer.shape for answer in answers if isinstance(answer, np.ndarray)} == {(6,)}
    distinct = {float(logit) for answer in answers if isinstance(answer, np.ndarray) for logit in answer}
    assert len(distinct) > 50


def test_two_tasks_share_a_batch(
    bare_checkpoint: Checkpoint, people: Relation, batches: list[list[BatchedCall]]
) -> None:
    one = Reader(bare_checkpoint, people, 0).encoder_input(0, 0)
    pool = TaskPool(bare_checkpoint)
    ids = [pool.add(asking([DetectCall(one)] * 3)), pool.add(asking([DetectCall(one)] * 4))]
    assert batches == []  # nothing runs before the first step
    finished = pool.step()
    assert [len(ran) for ran in batches] == [7]
    assert [done.task_id for done in finished] == ids
    assert [len(plain(done.result)) for done in finished] == [3, 4]
    assert len(pool) == 0


def test_a_step_runs_one_batch_of_one_kind_and_one_length(
    bare_checkpoint: Checkpoint, calls: list[BatchedCall], batches: list[list[BatchedCall]]
) -> None:
    pool = TaskPool(bare_checkpoint)
    pool.add(asking(calls))
    steps = 0
    while len(pool):
        pool.step()
        steps += 1
        assert len(batches) == steps
    for ran in batches:
        assert len({type(call) for call in ran}) == 1
        sizes = {bucket(len(call.encoder_input)) for call in ran}
        assert len(sizes) == 1
        assert len(ran) <= (ANSWER_ROWS if isinstance(ran[0], AnswerCall) else BATCH_TOKENS // sizes.pop())
    assert sum(len(ran) for ran in batches) == len(calls)


def test_every_batch_of_a_length_has_one_shape(
    bare_checkpoint: Checkpoint, calls: list[BatchedCall], monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: set[tuple[int, ...]] = set()
    encode = bare_checkpoint.denoiser.encode

    def spy(batch: EncoderBatch) -> torch.Tensor:
        shapes.add(tuple(batch.ids.shape))
        return encode(batch)

    monkeypatch.setattr(bare_checkpoint.denoiser, "encode", spy)
    for chosen in (calls[:1], calls[:7], calls):
        run_task(bare_checkpoint, asking(chosen))
    assert shapes
    assert all(rows == BATCH_TOKENS // length and length in BUCKETS for rows, length in shapes)


def test_tasks_take_turns_so_that_a_long_one_holds_up_nobody(bare_checkpoint: Checkpoint, people: Relation) -> None:
    long, short = (Reader(bare_checkpoint, people, size).encoder_input(0, 0) for size in (4, 0))
    assert bucket(len(long)) > bucket(len(short))

    def endless() -> ModelTask[None]:
        for _ in range(1000):
            yield [DetectCall(long)] * 200

    pool = TaskPool(bare_checkpoint)
    first = pool.add(endless())
    second = pool.add(asking([DetectCall(short)]))
    ended = [done.task_id for _ in range(3) for done in pool.step()]
    assert ended == [second]
    pool.cancel(first)


def test_a_task_fills_what_another_leaves_of_a_batch(bare_checkpoint: Checkpoint, people: Relation) -> None:
    one = Reader(bare_checkpoint, people, 0).encoder_input(0, 0)
    rows = BATCH_TOKENS // bucket(len(one))
    pool = TaskPool(bare_checkpoint)
    first = pool.add(asking([DetectCall(one)] * (rows - 1)))
    second = pool.add(asking([DetectCall(one)] * 2))
    assert [done.task_id for done in pool.step()] == [first]
    assert [done.task_id for done in pool.step()] == [second]


def failing(after: int, one: EncoderInput) -> ModelTask[None]:
    """A task that raises once it has had some answers."""
    for _ in range(after):
        yield [DetectCall(one)]
    raise InputError("mine", field="test")


@pytest.mark.parametrize("after", [0, 1, 2])
def test_an_exception_reaches_only_the_caller_of_its_task(
    bare_checkpoint: Checkpoint, calls: list[BatchedCall], alone: list[Plain], after: int
) -> None:
    pool = TaskPool(bare_checkpoint)
    good = pool.add(asking(calls[:2]))
    bad = pool.add(failing(after, calls[0].encoder_input))
    later = pool.add(asking(calls[2:4]))
    finished = finish(pool)
    assert isinstance(finished[bad].error, InputError)
    assert finished[bad].result is None
    assert finished[good].error is None
    assert plain(finished[good].result) == [alone[0][0], alone[1][0]]
    assert plain(finished[later].result) == [alone[2][0], alone[3][0]]


def too_long(checkpoint: Checkpoint) -> EncoderInput:
    one = checkpoint.serializer.serialize(["a"] * 60, ["7" * 40] * 60, column_ids=[1] * 60)
    assert len(one) > BUCKETS[-1]
    return one


def test_an_input_that_is_too_long_fails_its_own_task_only(
    bare_checkpoint: Checkpoint, calls: list[BatchedCall], alone: list[Plain]
) -> None:
    pool = TaskPool(bare_checkpoint)
    bad = pool.add(asking([calls[0], DetectCall(too_long(bare_checkpoint))]))
    good = pool.add(asking(calls[:2]))
    finished = finish(pool)
    assert isinstance(finished[bad].error, InputError)
    assert "longer than 1024" in str(finished[bad].error)
    assert plain(finished[good].result) == [alone[0][0], alone[1][0]]


def test_a_task_can_handle_the_error_of_its_own_call(bare_checkpoint: Checkpoint, calls: list[BatchedCall]) -> None:
    def careful() -> ModelTask[int]:
        try:
            yield [DetectCall(too_long(bare_checkpoint))]
        except InputError:
            answers = yield [*calls[:1]]
            return len(answers)
        return 0

    assert run_task(bare_checkpoint, careful()) == 1


def test_a_call_that_the_model_cannot_answer_fails_its_own_task_only(
    bare_checkpoint: Checkpoint, calls: list[BatchedCall], alone: list[Plain]
) -> None:
    one = calls[1].encoder_input
    pool = TaskPool(bare_checkpoint)
    bad = pool.add(asking([AnswerCall(one, (AnswerQuery("no such task", 1),))]))
    worse = pool.add(asking([AnswerCall(one, (AnswerQuery("fill", 10_000),))]))
    good = pool.add(asking([calls[1]]))
    finished = finish(pool)
    assert isinstance(finished[bad].error, KeyError)
    assert isinstance(finished[worse].error, IndexError)
    assert plain(finished[good].result) == alone[1]


def test_a_cancelled_task_is_closed_and_the_others_go_on(
    bare_checkpoint: Checkpoint, calls: list[BatchedCall], alone: list[Plain]
) -> None:
    closed: list[bool] = []

    def patient() -> ModelTask[None]:
        try:
            while True:
                yield [*calls[:1]]
        finally:
            closed.append(True)

    pool = TaskPool(bare_checkpoint)
    endless, good = pool.add(patient()), pool.add(asking(calls[:3]))
    pool.step()
    assert closed == []
    pool.cancel(endless)
    assert closed == [True]
    assert list(finish(pool)) == [good]
    pool.cancel(endless)  # unknown by now: no error
    pool.cancel(12345)


def test_a_task_that_was_never_started_can_be_cancelled(bare_checkpoint: Checkpoint, calls: list[BatchedCall]) -> None:
    pool = TaskPool(bare_checkpoint)
    pool.cancel(pool.add(asking(calls)))
    assert len(pool) == 0
    assert pool.step() == []


def test_a_task_that_asks_for_nothing_ends_at_once(
    bare_checkpoint: Checkpoint, batches: list[list[BatchedCall]]
) -> None:
    def immediate() -> ModelTask[str]:
        return "done"
        yield []

    def hesitant() -> ModelTask[str]:
        assert (yield []) == []
        assert (yield []) == []
        return "done"

    assert run_task(bare_checkpoint, immediate()) == "done"
    assert run_task(bare_checkpoint, hesitant()) == "done"
    assert batches == []


def test_a_task_may_ask_for_nothing_between_two_questions(
    bare_checkpoint: Checkpoint, calls: list[BatchedCall]
) -> None:
    def task() -> ModelTask[list[int]]:
        first = yield [*calls[:2]]
        nothing = yield []
        second = yield [*calls[2:5]]
        return [len(first), len(nothing), len(second)]

    assert run_task(bare_checkpoint, task()) == [2, 0, 3]


def test_running_alone_raises_what_the_task_raises(bare_checkpoint: Checkpoint, calls: list[BatchedCall]) -> None:
    with pytest.raises(InputError, match="mine"):
        run_task(bare_checkpoint, failing(1, calls[0].encoder_input))


@pytest.mark.parametrize(("length", "padded"), [(1, 64), (64, 64), (65, 96), (513, 640), (1024, 1024)])
def test_inputs_are_padded_to_the_next_length(length: int, padded: int) -> None:
    assert bucket(length) == padded


def test_no_length_above_the_longest_is_allowed() -> None:
    with pytest.raises(InputError, match="1025 tokens"):
        bucket(1025)


def test_a_call_holds_a_few_queries_and_a_batch_a_few_calls(
    bare_checkpoint: Checkpoint, calls: list[BatchedCall]
) -> None:
    with pytest.raises(ValueError, match="5 queries"):
        AnswerCall(calls[0].encoder_input, (AnswerQuery("fill", 1),) * 5)
    with pytest.raises(ValueError, match="33 calls"):
        run_batch(bare_checkpoint, [DetectCall(bare_checkpoint.serializer.serialize(["a"], ["1"]))] * 33)


def test_an_input_without_attributes_has_no_logits(bare_checkpoint: Checkpoint) -> None:
    (answer,) = run_task(bare_checkpoint, asking([DetectCall(bare_checkpoint.serializer.serialize([], []))]))
    assert plain([answer]) == [[]]


def test_states_of_detection_answer_as_a_pass_of_their_own_does(
    bare_checkpoint: Checkpoint, calls: list[BatchedCall], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "_SUSPICIOUS_LOGIT", -1e9)  # every tuple is suspicious
    detecting = [call for call in calls if isinstance(call, DetectCall)]
    answering = [call for call in calls if isinstance(call, AnswerCall)]
    passes: list[int] = []
    encode = batching._encode

    def counted(checkpoint: Checkpoint, inputs: Sequence[EncoderInput], size: int) -> torch.Tensor:
        passes.append(len(inputs))
        return encode(checkpoint, inputs, size)

    monkeypatch.setattr(batching, "_encode", counted)
    apart = plain(run_task(bare_checkpoint, asking(answering)))
    assert sum(passes) == len(answering)

    def detect_then_answer() -> ModelTask[list[ModelAnswer]]:
        yield list(detecting)
        passes.clear()
        answers = yield list(answering)
        return list(answers)

    assert plain(run_task(bare_checkpoint, detect_then_answer())) == apart
    assert passes == []


def test_a_cache_forgets_the_oldest_and_gives_each_state_once(bare_checkpoint: Checkpoint, people: Relation) -> None:
    reader = Reader(bare_checkpoint, people)
    inputs = [reader.encoder_input(tuple_id, 0) for tuple_id in range(3)]
    states = [torch.full((4, 8), float(number)) for number in range(3)]
    cache = StateCache(limit=2 * states[0].nbytes)
    for one, state in zip(inputs, states, strict=True):
        cache.keep("w", one, state)
    assert cache.find("w", inputs[0]) is None
    for number in (1, 2):
        found = cache.find("w", inputs[number])
        assert found is not None and float(found[0, 0]) == number
        assert cache.find("w", inputs[number]) is None
    for _ in range(9):  # equal inputs are one
        cache.keep("w", inputs[0], states[0])
    cache.keep("w", inputs[1], states[1])
    assert cache.find("w", inputs[0]) is not None
    assert cache.find("w", inputs[1]) is not None


def test_only_suspicious_tuples_are_kept(
    bare_checkpoint: Checkpoint, calls: list[BatchedCall], monkeypatch: pytest.MonkeyPatch
) -> None:
    detecting = [call for call in calls if isinstance(call, DetectCall)]
    logits = [np.asarray(answer) for answer in run_task(bare_checkpoint, asking(detecting))]
    threshold = float(np.median([one.max() for one in logits]))
    monkeypatch.setattr(batching, "_SUSPICIOUS_LOGIT", threshold)
    cache = StateCache()
    for call in detecting:
        run_batch(bare_checkpoint, [call], cache)
    kept = [cache.find(bare_checkpoint.sha256, call.encoder_input) is not None for call in detecting]
    assert kept == [float(one.max()) > threshold for one in logits]
    assert 0 < sum(kept) < len(kept)


def steps(count: int, told: list[str], name: str) -> ModelTask[str]:
    """A task that makes some steps of its own work and tells of each."""
    for _ in range(count):
        answers = yield [StepCall(lambda: told.append(name))]
        assert answers == [[]]
    return name


def test_a_step_runs_alone_and_others_get_their_turns_between_two(
    bare_checkpoint: Checkpoint, calls: list[BatchedCall], alone: list[Plain]
) -> None:
    pool, told = TaskPool(bare_checkpoint), list[str]()

    def detecting() -> ModelTask[list[ModelAnswer]]:
        answers: list[ModelAnswer] = []
        for _ in range(STEP_TURNS + 2):
            answers += yield [calls[0]]
            told.append("detect")
        return answers

    training, other = pool.add(steps(3, told, "step")), pool.add(detecting())
    finished = finish(pool)
    assert told == ["step", *["detect"] * STEP_TURNS, "step", *["detect"] * 2, "step"]
    assert finished[training].result == "step"
    assert plain(finished[other].result) == alone[0] * (STEP_TURNS + 2)


def test_steps_of_one_task_alone_do_not_wait_and_two_take_turns(bare_checkpoint: Checkpoint) -> None:
    pool, told = TaskPool(bare_checkpoint), list[str]()
    pool.add(steps(2, told, "a"))
    pool.step()
    assert told == ["a"]
    pool.add(steps(2, told, "b"))
    pool.step()
    pool.step()
    pool.step()
    assert told == ["a", "a", "b", "b"] or told == ["a", "b", "a", "b"]
    assert len(pool) == 0


def test_a_step_that_fails_ends_its_task_only(
    bare_checkpoint: Checkpoint, calls: list[BatchedCall], alone: list[Plain]
) -> None:
    def broken() -> ModelTask[None]:
        yield [StepCall(lambda: 1 // 0)]

    pool = TaskPool(bare_checkpoint)
    failing, other = pool.add(broken()), pool.add(asking([calls[1]]))
    finished = finish(pool)
    assert isinstance(finished[failing].error, ZeroDivisionError)
    assert plain(finished[other].result) == alone[1]


@pytest.fixture(scope="module")
def other_weights(bare_checkpoint: Checkpoint, make_denoiser: Callable[..., TupleDenoiser]) -> Checkpoint:
    """The same checkpoint with other weights, under a hash of their own."""
    return replace(bare_checkpoint, denoiser=make_denoiser(bare_checkpoint.config, 5), sha256="other")


def test_calls_with_weights_of_their_own_are_answered_by_them_in_any_company(
    bare_checkpoint: Checkpoint, other_weights: Checkpoint, calls: list[BatchedCall], alone: list[Plain]
) -> None:
    expected = plain(run_task(other_weights, asking(calls)))
    assert expected != [one for answers in alone for one in answers]
    pool = TaskPool(bare_checkpoint)
    ids = [pool.add(answered_by(other_weights, asking(calls))), pool.add(asking(calls))]
    finished = finish(pool)
    assert plain(finished[ids[0]].result) == expected
    assert plain(finished[ids[1]].result) == [one for answers in alone for one in answers]


def test_states_that_other_weights_made_are_not_used(
    bare_checkpoint: Checkpoint, other_weights: Checkpoint, calls: list[BatchedCall], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "_SUSPICIOUS_LOGIT", -1e9)  # all are kept
    detecting = [call for call in calls if isinstance(call, DetectCall)]
    answering = [call for call in calls if isinstance(call, AnswerCall)]
    expected = plain(run_task(other_weights, asking(answering)))
    pool = TaskPool(bare_checkpoint)
    pool.add(asking(detecting))
    finish(pool)
    asked = pool.add(answered_by(other_weights, asking(answering)))
    assert plain(finish(pool)[asked].result) == expected


def test_a_task_under_other_weights_can_handle_the_error_of_its_own_call(
    bare_checkpoint: Checkpoint, other_weights: Checkpoint, calls: list[BatchedCall]
) -> None:
    closed: list[str] = []

    def careful() -> ModelTask[str]:
        try:
            with pytest.raises(InputError):
                yield [DetectCall(replace(calls[0].encoder_input, ids=np.ones(1025, dtype=np.int64)))]
            yield [calls[0]]
            return "survived"
        finally:
            closed.append("closed")

    assert run_task(bare_checkpoint, answered_by(other_weights, careful())) == "survived"
    pool = TaskPool(bare_checkpoint)
    task = pool.add(answered_by(other_weights, careful()))
    pool.step()
    pool.cancel(task)
    assert closed == ["closed", "closed"]

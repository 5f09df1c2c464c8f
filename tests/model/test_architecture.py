"""Fast paths and plain paths agree: packed and alone, cached and uncached, padded and not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from model.architecture import (
    Attention,
    DecoderBatch,
    DecoderCache,
    EncoderBatch,
    TupleDenoiser,
    _plain_attention,
    _row_attention,
)
from model.config import ModelConfig
from model.dataset import TASKS, collate_inputs
from model.serialization import EncoderInput, Mask, Part, TupleSerializer

Query = tuple[str, int, list[int]]
"""Task, column id, and the ids of an answer."""

ROWS: list[list[Part]] = [
    ["Anna Weber", "35233", "Birmingham"],
    ["Bob", None, Mask()],
    ["Chloé Martin and a long name", "94107", "San"],
]


@pytest.fixture(scope="module")
def exact(config: ModelConfig, make_denoiser: Callable[..., TupleDenoiser]) -> TupleDenoiser:
    """A denoiser in double precision, so that equal means equal to many digits."""
    denoiser: TupleDenoiser = make_denoiser(config, 3).double()
    return denoiser


@pytest.fixture(scope="module")
def inputs(serializer: TupleSerializer) -> list[EncoderInput]:
    names: list[Part] = ["name", "zip", "city"]
    contexts: list[list[list[Part]]] = [[ROWS[1], ROWS[2]], [], [ROWS[0]]]
    return [serializer.serialize(names, row, context) for row, context in zip(ROWS, contexts, strict=True)]


@pytest.fixture(scope="module")
def queries(serializer: TupleSerializer) -> list[Query]:
    answers = [("fill", 1, "Anna Weber"), ("repair", 2, "35233"), ("name", 3, "city")]
    return [(task, column, serializer.answer_ids(text) or []) for task, column, text in answers]


def packed(config: ModelConfig, queries: Sequence[Query], rows: int = 1) -> DecoderBatch:
    """All queries behind one another, in every row."""
    columns: list[list[int]] = [[], [], [], []]
    for number, (task, column, answer) in enumerate(queries, start=1):
        columns[0] += [int(TASKS[task]), *answer[:-1]]
        columns[1] += range(config.value_position, config.value_position + len(answer))
        columns[2] += [column] * len(answer)
        columns[3] += [number] * len(answer)
    return DecoderBatch(*(torch.tensor([values] * rows) for values in columns))


def assert_close(one: Tensor, other: Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def test_padding_changes_no_state(exact: TupleDenoiser, inputs: list[EncoderInput]) -> None:
    together = exact.encode(collate_inputs(inputs, length=128))
    for row, one in enumerate(inputs):
        alone = exact.encode(collate_inputs([one]))
        assert_close(together[row, : len(one)], alone[0])


def test_different_inputs_have_different_states(exact: TupleDenoiser, inputs: list[EncoderInput]) -> None:
    states = exact.encode(collate_inputs(inputs))
    assert float((states[0, 0] - states[1, 0]).abs().max()) > 0.01


@pytest.mark.parametrize("part", ["ids", "positions", "columns", "roles"])
def test_every_part_of_the_input_reaches_the_states(
    exact: TupleDenoiser, inputs: list[EncoderInput], part: str
) -> None:
    batch = collate_inputs(inputs[:1])
    parts = {name: getattr(batch, name).clone() for name in ("ids", "positions", "columns", "roles")}
    parts[part][0, 4] += 1
    changed = exact.encode(EncoderBatch(**parts))
    assert float((changed - exact.encode(batch)).abs().max()) > 1e-3


def test_packed_queries_are_decoded_as_each_one_alone(
    exact: TupleDenoiser, config: ModelConfig, inputs: list[EncoderInput], queries: list[Query]
) -> None:
    batch = collate_inputs(inputs[:1])
    states = exact.encode(batch)
    together = exact.decode(states, batch, packed(config, queries))
    start = 0
    for query in queries:
        length = len(query[2])
        alone = exact.decode(states, batch, packed(config, [query]))
        assert_close(together[:, start : start + length], alone)
        start += length
    assert start == together.shape[1]


def test_a_token_sees_the_earlier_tokens_of_its_own_query_only() -> None:
    segments = torch.tensor([[1, 1, 2, 2, 0]])
    batch = DecoderBatch(segments, segments, segments, segments)
    assert batch.self_mask().int().tolist() == [
        [[[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1]]]
    ]


def _steps(
    exact: TupleDenoiser, config: ModelConfig, states: Tensor, batch: EncoderBatch, ids: Tensor, columns: Tensor
) -> Tensor:
    """Decoder states of `ids` (rows, slots, steps), one step at a time with a cache."""
    cache = DecoderCache(exact.decoder.cross(states), [])
    hidden = []
    for step in range(ids.shape[2]):
        positions = torch.full_like(columns, config.value_position + step)
        embedded = exact.embed_answers(ids[:, :, step], positions, columns)
        hidden.append(exact.decoder.step(embedded, cache, batch.keep[:, None, None, :]))
    return torch.stack(hidden, 2)


def test_cached_generation_is_the_uncached_forward_pass(
    exact: TupleDenoiser, config: ModelConfig, inputs: list[EncoderInput], serializer: TupleSerializer
) -> None:
    batch = collate_inputs(inputs)
    states = exact.encode(batch)
    answer = list(serializer.tokenizer.encode("9410-72"))
    asked: list[Query] = [("fill", 2, [*answer, 7]), ("repair", 3, [*answer[::-1], 7])]
    ids = torch.tensor([[[int(TASKS[task]), *ids[:-1]] for task, _, ids in asked]] * 3)
    columns = torch.tensor([[column for _, column, _ in asked]] * 3)
    cached = _steps(exact, config, states, batch, ids, columns)
    length = len(answer) + 1
    uncached = exact.decode(states, batch, packed(config, asked, rows=3))
    assert_close(cached[:, 0], uncached[:, :length])
    assert_close(cached[:, 1], uncached[:, length:])


def test_a_reordered_cache_goes_on_from_the_chosen_history(
    exact: TupleDenoiser, config: ModelConfig, inputs: list[EncoderInput]
) -> None:
    batch = collate_inputs(inputs[:1])
    states = exact.encode(batch)
    cross_mask = batch.keep[:, None, None, :]
    columns = torch.tensor([[1, 1]])
    histories = torch.tensor([[[8, 30], [8, 40]]])
    last = torch.tensor([[50, 50]])
    cache = DecoderCache(exact.decoder.cross(states), [])
    for step in range(2):
        position = torch.full_like(columns, config.value_position + step)
        exact.decoder.step(exact.embed_answers(histories[:, :, step], position, columns), cache, cross_mask)
    cache.reorder(torch.tensor([1, 0]))
    position = torch.full_like(columns, config.value_position + 2)
    swapped = exact.decoder.step(exact.embed_answers(last, position, columns), cache, cross_mask)
    straight = _steps(exact, config, states, batch, torch.cat([histories, last[..., None]], 2), columns)[:, :, 2]
    assert_close(swapped, straight.flip(1))
    assert float((straight[0, 0] - straight[0, 1]).abs().max()) > 1e-3


def test_attention_written_out_is_the_fused_attention() -> None:
    generator = torch.Generator().manual_seed(0)
    queries, keys, values = (torch.randn(2, 4, 5, 8, generator=generator, dtype=torch.float64) for _ in range(3))
    mask = torch.rand(2, 1, 5, 5, generator=generator) > 0.4
    mask |= torch.eye(5, dtype=torch.bool)
    fused = torch.nn.functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    assert_close(_plain_attention(queries, keys, values, mask, 8**-0.5), fused)
    padded = mask[:, :, :1]
    fused = torch.nn.functional.scaled_dot_product_attention(queries, keys, values, attn_mask=padded)
    assert_close(_row_attention(queries, keys, values, padded, 8**-0.5), fused)


def test_training_and_inference_compute_the_same(
    exact: TupleDenoiser, config: ModelConfig, inputs: list[EncoderInput], queries: list[Query],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    calls: list[str] = []

    def spy(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scale: float) -> Tensor:
        calls.append("plain")
        return _plain_attention(queries, keys, values, mask, scale)

    monkeypatch.setattr("model.architecture._plain_attention", spy)
    batch = collate_inputs(inputs)
    answers = packed(config, queries, rows=3)
    with torch.inference_mode():
        states = exact.encode(batch)
        fused = states, exact.decode(states, batch, answers)
    assert calls == []
    exact.requires_grad_(True)
    states = exact.encode(batch)
    plain = states, exact.decode(states, batch, answers)
    exact.requires_grad_(False)
    assert len(calls) == config.encoder_layers + 2 * config.decoder_layers
    for one, other in zip(plain, fused, strict=True):
        assert_close(one.detach(), other)


def test_probabilities_of_next_tokens_sum_to_one_and_agree_with_those_of_given_tokens(
    exact: TupleDenoiser, config: ModelConfig, inputs: list[EncoderInput], queries: list[Query]
) -> None:
    batch = collate_inputs(inputs)
    states = exact.encode(batch)
    hidden = exact.decode(states, batch, packed(config, queries, rows=3))
    every = exact.next_token_log_probabilities(hidden, exact.copy_keys(states, batch), batch)
    assert every.shape == (3, hidden.shape[1], config.vocabulary_size)
    assert every.dtype == torch.float32
    assert_close(every.exp().sum(-1), torch.ones(every.shape[:2]), 1e-5)
    generator = torch.Generator().manual_seed(1)
    example = torch.randint(3, (40,), generator=generator)
    index = torch.randint(hidden.shape[1], (40,), generator=generator)
    tokens = torch.randint(config.vocabulary_size, (40,), generator=generator)
    tokens[:10] = batch.ids[example[:10], 3]  # some that can be copied
    copying = exact.copying(hidden, exact.copy_keys(states, batch), batch)
    given = exact.token_log_probabilities(hidden, copying, batch, example, index, tokens)
    assert given.dtype == torch.float32
    assert_close(given, every[example, index, tokens], 1e-5)


def test_a_token_of_the_input_can_be_copied(
    exact: TupleDenoiser, config: ModelConfig, inputs: list[EncoderInput]
) -> None:
    batch = collate_inputs(inputs[:1])
    states = exact.encode(batch)
    hidden = exact.decode(states, batch, packed(config, [("fill", 1, [7])]))
    bias = exact.decoder.copy_gate.bias.clone()
    exact.decoder.copy_gate.bias.fill_(-40.0)  # always copy
    copied = exact.next_token_log_probabilities(hidden, exact.copy_keys(states, batch), batch).exp()[0, 0]
    exact.decoder.copy_gate.bias.copy_(bias)
    present = torch.zeros(config.vocabulary_size, dtype=torch.bool)
    present[batch.ids[0]] = True
    assert float(copied[present].sum()) == pytest.approx(1.0, abs=1e-5)
    assert float(copied[~present].max()) < 1e-12


def test_padding_cannot_be_copied(exact: TupleDenoiser, config: ModelConfig, inputs: list[EncoderInput]) -> None:
    short, long = collate_inputs(inputs[:1]), collate_inputs(inputs[:1], length=128)
    probabilities = []
    for batch in (short, long):
        states = exact.encode(batch)
        hidden = exact.decode(states, batch, packed(config, [("fill", 1, [7])]))
        probabilities.append(exact.next_token_log_probabilities(hidden, exact.copy_keys(states, batch), batch))
    assert_close(probabilities[0], probabilities[1], 1e-5)


def test_heads_give_numbers_of_the_documented_shapes(
    exact: TupleDenoiser, config: ModelConfig, inputs: list[EncoderInput]
) -> None:
    batch = collate_inputs(inputs)
    states = exact.encode(batch)
    example, index = torch.tensor([0, 0, 1]), torch.tensor([0, 3, 0])
    for logits in (exact.detect(states, example, index), exact.match_logits(states, example, index)):
        assert logits.shape == (3,)
        assert logits.dtype == torch.float32
        assert len(set(logits.tolist())) == 3
    vectors = exact.embed(states, example, index)
    assert vectors.shape == (3, config.width)
    assert_close(vectors.norm(dim=-1), torch.ones(3), 1e-6)
    spans = exact.span_logits(states, batch, example, index)
    assert spans.shape == (3, batch.ids.shape[1], 2)
    assert torch.equal(torch.isneginf(spans).all(-1), ~batch.keep[example])
    assert torch.isfinite(spans[batch.keep[example]]).all()
    assert not torch.allclose(spans[0], spans[1])  # two questions about one text are two answers


def _reached(denoiser: TupleDenoiser, loss: Tensor) -> set[str]:
    """Names of the parameters that have a gradient other than zero."""
    denoiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    return {name for name, one in denoiser.named_parameters() if one.grad is not None and bool(one.grad.any())}


def _loss(denoiser: TupleDenoiser, config: ModelConfig, inputs: list[EncoderInput], queries: list[Query]) -> Tensor:
    batch = collate_inputs(inputs)
    states = denoiser.encode(batch)
    hidden = denoiser.decode(states, batch, packed(config, queries, rows=3))
    example, index = torch.zeros(hidden.shape[1], dtype=torch.int64), torch.arange(hidden.shape[1])
    targets = torch.tensor([token for _, _, answer in queries for token in answer])
    copying = denoiser.copying(hidden, denoiser.copy_keys(states, batch), batch)
    answers = denoiser.token_log_probabilities(hidden, copying, batch, example, index, targets)
    markers = torch.tensor([one.value_index[0] for one in inputs], dtype=torch.int64)
    return answers.sum() + denoiser.detect(states, torch.arange(3), markers).sum()


def test_gradients_reach_every_parameter_that_training_uses(
    config: ModelConfig, make_denoiser: Callable[..., TupleDenoiser], inputs: list[EncoderInput], queries: list[Query]
) -> None:
    denoiser = make_denoiser(config, 5).train().requires_grad_(True)
    reached = _reached(denoiser, _loss(denoiser, config, inputs, queries))
    missed = {name for name, _ in denoiser.named_parameters()} - reached
    without_gradient = {name for name in missed if not name.startswith(("match.", "embedding.", "span."))}
    # Softmax is blind to a shift of all scores by the same amount, so biases of keys cannot matter.
    assert {name for name in without_gradient if not name.endswith(("key.bias", "copy_key.bias"))} == set()


def test_gradients_reach_the_other_heads(
    config: ModelConfig, make_denoiser: Callable[..., TupleDenoiser], inputs: list[EncoderInput]
) -> None:
    denoiser = make_denoiser(config, 5).train().requires_grad_(True)
    batch = collate_inputs(inputs)
    states = denoiser.encode(batch)
    example, index = torch.tensor([0, 1]), torch.tensor([0, 0])
    spans = denoiser.span_logits(states, batch, example, index)[batch.keep[example]]
    loss = denoiser.match_logits(states, example, index).sum() + denoiser.embed(states, example, index)[:, 0].sum()
    reached = _reached(denoiser, loss + spans.sum())
    heads = {name for name, _ in denoiser.named_parameters() if name.startswith(("match.", "embedding.", "span."))}
    assert heads <= reached


def test_a_new_model_starts_like_bert(config: ModelConfig) -> None:
    torch.manual_seed(0)
    denoiser = TupleDenoiser(config)
    assert float(denoiser.encoder.tokens.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
    attention = denoiser.encoder.blocks[0].attention
    assert isinstance(attention, Attention)
    assert not bool(attention.query.bias.any())
    assert bool((denoiser.encoder.norm.weight == 1).all())


def test_dropout_is_drawn_in_training_only(config: ModelConfig, inputs: list[EncoderInput]) -> None:
    fields: dict[str, Any] = {name: getattr(config, name) for name in config.__slots__}
    torch.manual_seed(0)
    denoiser = TupleDenoiser(ModelConfig(**fields | {"dropout": 0.5}))
    batch = collate_inputs(inputs)
    with torch.no_grad():
        assert not torch.equal(denoiser.encode(batch), denoiser.encode(batch))
        denoiser.eval()
        assert torch.equal(denoiser.encode(batch), denoiser.encode(batch))

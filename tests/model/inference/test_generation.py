"""The decoder writes and scores: prefixes byte for byte, likelihoods the same by every path."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.architecture import DecoderBatch
from model.checkpoint import Checkpoint
from model.dataset import TASKS, collate_inputs
from model.inference.batching import AnswerCall, ModelTask, run_task
from model.inference.generation import BEAMS, AnswerQuery, ScoredValue, _Prefix
from model.serialization import EncoderInput, Mask
from model.tokenizer import SpecialToken, TupleTokenizer


@pytest.fixture(scope="module")
def encoder_input(bare_checkpoint: Checkpoint) -> EncoderInput:
    context: list[list[str | None]] = [["Anna Weber", "35233", "Birmingham"], ["Bob O'Neil", "94107", "San Francisco"]]
    return bare_checkpoint.serializer.serialize(
        ["name", "zip", "city"], ["Chloé Martin", Mask(), "Birmxngham"], context
    )


def ask(checkpoint: Checkpoint, encoder_input: EncoderInput, *queries: AnswerQuery) -> list[list[ScoredValue]]:
    """The answers to some queries about one input."""

    def task() -> ModelTask[list[list[ScoredValue]]]:
        (answer,) = yield [AnswerCall(encoder_input, queries)]
        assert isinstance(answer, list)
        return answer

    return run_task(checkpoint, task())


def tempted(checkpoint: Checkpoint, wanted: Callable[[int, bytes], bool]) -> Checkpoint:
    """The checkpoint with some tokens, chosen by id and bytes, made likely everywhere."""
    tokenizer, denoiser = checkpoint.serializer.tokenizer, copy.deepcopy(checkpoint.denoiser)
    for token in range(tokenizer.vocabulary_size):
        if wanted(token, tokenizer.token_bytes(token)):
            denoiser.decoder.output_bias[token] = 5.0
    return replace(checkpoint, denoiser=denoiser)


def decoder_batch(checkpoint: Checkpoint, query: AnswerQuery, ids: list[int]) -> DecoderBatch:
    """One answer as decoder input: the task, then all tokens but the last."""
    start, length = checkpoint.config.value_position, len(ids)
    parts = ([int(TASKS[query.task]), *ids[:-1]], list(range(start, start + length)), [query.column_id] * length)
    return DecoderBatch(*(torch.tensor([part]) for part in (*parts, [1] * length)))


def likelihood(checkpoint: Checkpoint, encoder_input: EncoderInput, query: AnswerQuery, ids: list[int]) -> float:
    """Log-probability of an answer, by one forward pass of its own."""
    denoiser = checkpoint.denoiser
    batch = collate_inputs([encoder_input])
    states = denoiser.encode(batch)
    hidden = denoiser.decode(states, batch, decoder_batch(checkpoint, query, ids))
    index = torch.arange(len(ids))
    copying = denoiser.copying(hidden, denoiser.copy_keys(states, batch), batch)
    first = torch.zeros_like(index)
    given = denoiser.token_log_probabilities(hidden, copying, batch, first, index, torch.tensor(ids))
    return float(given.sum())


@pytest.mark.parametrize("task", ["fill", "repair", "name"])
def test_answers_are_sorted_and_not_repeated(
    bare_checkpoint: Checkpoint, encoder_input: EncoderInput, task: str
) -> None:
    (scored,) = ask(bare_checkpoint, encoder_input, AnswerQuery(task, 3, ("Denver", "Birmingham", "Denver", "")))
    means = [one.mean_log_probability for one in scored]
    assert means == sorted(means, reverse=True)
    values = [one.value for one in scored]
    assert len(values) == len(set(values))
    written = [one.value for one in scored if one.written]
    assert 1 <= len(written) <= BEAMS
    assert {"Denver", "Birmingham", ""} <= set(values)
    assert all(one.log_probability < 0 for one in scored)


def test_every_likelihood_is_that_of_a_forward_pass(bare_checkpoint: Checkpoint, encoder_input: EncoderInput) -> None:
    queries = [AnswerQuery("repair", 3, ("Birmingham", "San Francisco")), AnswerQuery("fill", 2, ("94107", ""))]
    for query, scored in zip(queries, ask(bare_checkpoint, encoder_input, *queries), strict=True):
        for one in scored:
            ids = bare_checkpoint.serializer.answer_ids(one.value)
            assert ids is not None
            assert one.tokens == len(ids)
            assert one.log_probability == pytest.approx(
                likelihood(bare_checkpoint, encoder_input, query, ids), abs=1e-4
            )


def plain_beam_search(checkpoint: Checkpoint, encoder_input: EncoderInput, query: AnswerQuery) -> list[str]:
    """Beam search of one query alone, the whole answer computed anew at every step."""
    batch = collate_inputs([encoder_input])
    states = checkpoint.denoiser.encode(batch)
    keys = checkpoint.denoiser.copy_keys(states, batch)
    beams: list[tuple[float, list[int]]] = [(0.0, [])]
    ended: list[tuple[float, list[int]]] = []
    likeliest = float("-inf")
    for step in range(checkpoint.config.max_value_tokens + 1):
        options = []
        for score, ids in beams:
            hidden = checkpoint.denoiser.decode(states, batch, decoder_batch(checkpoint, query, [*ids, 0]))
            scores = checkpoint.denoiser.next_token_log_probabilities(hidden, keys, batch)[0, -1].tolist()
            usable = [SpecialToken.END, *([] if step else [SpecialToken.NULL]), *range(len(SpecialToken), len(scores))]
            best = sorted(usable, key=lambda token: -scores[token])[: 2 * BEAMS]
            options += [(score + scores[token], [*ids, int(token)]) for token in best]
        beams = []
        for score, ids in sorted(options, key=lambda one: -one[0]):
            if score < likeliest - 5.0:
                continue
            if ids[-1] == SpecialToken.END:
                ended.append((score / len(ids), ids[:-1]))
                likeliest = max(likeliest, score)
            else:
                beams.append((score, ids))
            if len(beams) == BEAMS:
                break
        ended.sort(key=lambda one: -one[0])
        if not beams:
            break
        if len(ended) >= BEAMS and beams[0][0] / (len(beams[0][1]) + 1) < ended[BEAMS - 1][0]:
            break
    texts = [checkpoint.serializer.tokenizer.decode(ids) for _, ids in ended[:BEAMS]]
    return [text for text in dict.fromkeys(texts) if "\ufffd" not in text]


@pytest.mark.parametrize("task", ["fill", "repair", "name"])
def test_batched_beams_with_a_cache_write_what_plain_beams_write(
    bare_checkpoint: Checkpoint, encoder_input: EncoderInput, task: str
) -> None:
    queries = [AnswerQuery(task, column) for column in (1, 3)]
    unsure = tempted(bare_checkpoint, lambda token, _: token == SpecialToken.NULL)
    for checkpoint in (bare_checkpoint, unsure):
        answers = ask(checkpoint, encoder_input, *queries)
        for query, scored in zip(queries, answers, strict=True):
            assert {one.value for one in scored} == set(plain_beam_search(checkpoint, encoder_input, query))


def test_bytes_that_are_no_text_are_never_a_value(bare_checkpoint: Checkpoint, encoder_input: EncoderInput) -> None:
    halves = (b"\x80", b"\xed", b"\xa0", b"\xf0")
    broken = tempted(bare_checkpoint, lambda _, text: text in halves)
    for prefix in ("", "é", "\ud800"):
        (scored,) = ask(broken, encoder_input, AnswerQuery("fill", 3, ("x",), prefix=prefix))
        for one in scored:
            assert "\ufffd" not in one.value
            one.value.removeprefix(prefix).encode("utf-8")  # raises where a half of a pair stands alone


def test_candidates_have_the_same_score_alone_and_together(
    bare_checkpoint: Checkpoint, encoder_input: EncoderInput
) -> None:
    values = ("Denver", "Birmingham", "San Francisco", "New York", "Chicago", "9" * 16, "", "1")
    (together,) = ask(bare_checkpoint, encoder_input, AnswerQuery("repair", 3, values, write=False))
    assert {one.value for one in together} == set(values)
    for one in together:
        (alone,) = ask(bare_checkpoint, encoder_input, AnswerQuery("repair", 3, (one.value,), write=False))
        assert [(other.value, other.tokens) for other in alone] == [(one.value, one.tokens)]
        assert alone[0].log_probability == pytest.approx(one.log_probability, abs=1e-4)


def test_more_candidates_than_one_round_holds_are_all_scored(
    bare_checkpoint: Checkpoint, encoder_input: EncoderInput
) -> None:
    # Nine tokens each: ten in a pack, 32 packs in a round.
    values = tuple(f"{number:08d}" for number in range(330))
    (scored,) = ask(bare_checkpoint, encoder_input, AnswerQuery("fill", 2, values, write=False))
    assert {one.value for one in scored} == set(values)
    assert {one.tokens for one in scored} == {9}
    by_value = {one.value: one.log_probability for one in scored}
    ids = bare_checkpoint.serializer.answer_ids("00000329")
    assert ids is not None
    wanted = likelihood(bare_checkpoint, encoder_input, AnswerQuery("fill", 2), ids)
    assert by_value["00000329"] == pytest.approx(wanted, abs=1e-4)


def test_a_candidate_that_is_too_long_to_write_is_scored_by_its_beginning(
    bare_checkpoint: Checkpoint, encoder_input: EncoderInput
) -> None:
    limit = bare_checkpoint.config.max_value_tokens
    long = "7" * 5000
    (scored,) = ask(bare_checkpoint, encoder_input, AnswerQuery("fill", 2, (long, "7" * limit), write=False))
    tokens = {one.value: one.tokens for one in scored}
    assert tokens == {long: limit, "7" * limit: limit + 1}


def test_no_query_and_nothing_to_score_give_nothing(bare_checkpoint: Checkpoint, encoder_input: EncoderInput) -> None:
    assert ask(bare_checkpoint, encoder_input) == []
    assert ask(bare_checkpoint, encoder_input, AnswerQuery("fill", 1, write=False)) == [[]]


@pytest.mark.parametrize(
    "prefix", ["9", "94107", "San Fr", "x", "Chlo", "Chloé", "é", "😀", " ", "\x00", "\ud800a", "日本"]
)
def test_everything_written_begins_with_the_prefix(
    bare_checkpoint: Checkpoint, encoder_input: EncoderInput, prefix: str
) -> None:
    (scored,) = ask(bare_checkpoint, encoder_input, AnswerQuery("fill", 3, prefix=prefix))
    assert scored
    assert all(one.value.startswith(prefix) for one in scored)


def test_a_prefix_changes_no_other_query(bare_checkpoint: Checkpoint, encoder_input: EncoderInput) -> None:
    free, bound = AnswerQuery("fill", 3), AnswerQuery("fill", 3, prefix="9")
    (alone,) = ask(bare_checkpoint, encoder_input, free)
    together = ask(bare_checkpoint, encoder_input, free, bound)
    assert [one.value for one in together[0]] == [one.value for one in alone]
    assert [one.value for one in together[1]] != [one.value for one in alone]


def test_a_prefix_longer_than_an_answer_writes_nothing(
    bare_checkpoint: Checkpoint, encoder_input: EncoderInput
) -> None:
    (scored,) = ask(bare_checkpoint, encoder_input, AnswerQuery("fill", 2, prefix="7" * 17))
    assert scored == []


@settings(deadline=None, max_examples=100)
@given(rest=st.one_of(st.binary(min_size=1, max_size=6), st.text(min_size=1, max_size=6).map(str.encode)))
def test_allowed_tokens_are_those_that_agree_with_the_rest_of_the_prefix(
    tokenizer: TupleTokenizer, rest: bytes
) -> None:
    texts = {token: tokenizer.token_bytes(token) for token in range(tokenizer.vocabulary_size)}
    wanted = {token for token, text in texts.items() if text and (text.startswith(rest) or rest.startswith(text))}
    allowed = _prefix(tokenizer).allowed(rest)
    assert set(allowed) == wanted
    assert len(allowed) == len(wanted)


def _prefix(tokenizer: TupleTokenizer, _made: dict[int, _Prefix] = {}) -> _Prefix:  # noqa: B006
    return _made.setdefault(id(tokenizer), _Prefix(tokenizer))


def test_a_token_may_reach_over_the_end_of_a_prefix_inside_a_character(tokenizer: TupleTokenizer) -> None:
    (single,) = tokenizer.encode("é")  # two bytes, one token
    first = "é".encode()[:1]
    assert tokenizer.token_bytes(single) == "é".encode()
    assert single in _prefix(tokenizer).allowed(first)
    assert single in _prefix(tokenizer).allowed("éa".encode())

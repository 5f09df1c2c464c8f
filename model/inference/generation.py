"""Answers of the decoder: beam search with a cache, prefixes kept byte for byte, candidates scored.

All queries of all tuples of a batch are written at once: a tuple has `MAX_QUERIES` queries of `BEAMS`
slots, whether they are used or not, so that shapes do not depend on the company. Candidates that come
from the table and those that the beams wrote are then scored together, by the mean log-probability of
their tokens.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.architecture import DecoderBatch, DecoderCache, EncoderBatch
from model.checkpoint import Checkpoint
from model.dataset import TASKS
from model.tokenizer import SpecialToken, TupleTokenizer

MAX_QUERIES = 2
BEAMS = 3
_SCORE_LENGTH = 96
_TARGET_CHUNK = 256
_VOCABULARY_CHUNK = 96
_HOPELESS = 5.0
"""A beam whose likelihood is e^-5 of an ended one's is given up: one certain answer ends the search."""
_UNWRITABLE = tuple(token for token in SpecialToken if token not in (SpecialToken.NULL, SpecialToken.END))


@dataclass(frozen=True, slots=True)
class AnswerQuery:
    """One question to the decoder.

    Attributes:
        task: `fill`, `repair` or `name`.
        column_id: the column id of the attribute that is asked about.
        candidates: values to be scored beside what the decoder writes; "" is a missing value.
        prefix: what the written values must start with.
        write: False leaves the beams out and scores candidates alone.
    """

    task: str
    column_id: int
    candidates: tuple[str, ...] = ()
    prefix: str = ""
    write: bool = True


@dataclass(frozen=True, slots=True)
class ScoredValue:
    """A value with the log-probability of its tokens, their number, and whether the decoder wrote it."""

    value: str
    log_probability: float
    tokens: int
    written: bool

    @property
    def mean_log_probability(self) -> float:
        """Length-normalized likelihood."""
        return self.log_probability / self.tokens


def answer_queries(
    checkpoint: Checkpoint, states: Tensor, batch: EncoderBatch, queries: Sequence[Sequence[AnswerQuery]]
) -> list[list[list[ScoredValue]]]:
    """Answer the queries of the first `len(queries)` rows of a batch.

    Returns:
        For each row and query, written and given values without duplicates, most likely first.
    """
    cross = checkpoint.denoiser.decoder.cross(states)
    written = _BeamSearch(checkpoint, states, batch, cross, queries).run()
    values: list[list[dict[str, bool]]] = []
    for row, row_queries in enumerate(queries):
        values.append([])
        for number, query in enumerate(row_queries):
            known = dict.fromkeys(written[row][number], True) if query.write else {}
            values[row].append(known | {value: False for value in query.candidates if value not in known})
    return _score(checkpoint, states, batch, cross, queries, values)


class _Prefix:
    """Which tokens may come next while a prefix is still being written."""

    def __init__(self, tokenizer: TupleTokenizer) -> None:
        tokens = [(tokenizer.token_bytes(number), number) for number in range(tokenizer.vocabulary_size)]
        self._sorted = sorted((text, number) for text, number in tokens if text)
        self._texts = [text for text, _ in self._sorted]
        self._ids = {text: number for text, number in self._sorted}

    def allowed(self, rest: bytes) -> list[int]:
        """Tokens that begin with `rest` or are a beginning of it."""
        shorter = [self._ids[rest[:length]] for length in range(1, min(len(rest), 64)) if rest[:length] in self._ids]
        start = bisect_left(self._texts, rest)
        longer = []
        while start < len(self._texts) and self._texts[start].startswith(rest):
            longer.append(self._sorted[start][1])
            start += 1
        return shorter + longer


class _BeamSearch:
    """Beam search over all queries of a batch; slots are (row, query, beam) in that order."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        states: Tensor,
        batch: EncoderBatch,
        cross: list[tuple[Tensor, Tensor]],
        queries: Sequence[Sequence[AnswerQuery]],
    ) -> None:
        self.denoiser = checkpoint.denoiser
        self.tokenizer = checkpoint.serializer.tokenizer
        self.config = checkpoint.config
        self.batch = batch
        self.copy_keys = self.denoiser.copy_keys(states, batch)
        # The first place that holds the same token, (rows, 1, length): what is copied from all of them adds up there.
        self.first_place = (batch.ids[:, :, None] == batch.ids[:, None, :]).int().argmax(-1)[:, None]
        self.cache = DecoderCache(cross, [])
        self.queries = queries
        rows, slots = batch.ids.shape[0], MAX_QUERIES * BEAMS
        self.ids = np.full((rows, slots), int(SpecialToken.FILL), dtype=np.int64)
        self.columns = np.zeros((rows, slots), dtype=np.int64)
        self.scores = np.full((rows, MAX_QUERIES, BEAMS), -np.inf)
        self.history: list[list[list[list[int]]]] = []
        self.done: list[list[list[tuple[float, list[int]]]]] = []
        self.open: set[tuple[int, int]] = set()
        self.likeliest = np.full((rows, MAX_QUERIES), -np.inf)  # of the ended hypotheses
        for row, row_queries in enumerate(queries):
            self.history.append([[[] for _ in range(BEAMS)] for _ in row_queries])
            self.done.append([[] for _ in row_queries])
            for number, query in enumerate(row_queries):
                place = slice(number * BEAMS, (number + 1) * BEAMS)
                self.ids[row, place] = TASKS[query.task]
                self.columns[row, place] = query.column_id
                self.scores[row, number, 0] = 0.0
                if query.write:
                    self.open.add((row, number))
        constrained = any(query.prefix for row_queries in queries for query in row_queries)
        self.prefix = _Prefix(self.tokenizer) if constrained else None

    def run(self) -> list[list[list[str]]]:
        """Written values of each row and query, best first."""
        for step in range(self.config.max_value_tokens + 1):
            if not self.open:
                break
            self._advance(*self._next(step))
        return [
            [self._texts(row, number) for number in range(len(row_queries))]
            for row, row_queries in enumerate(self.queries)
        ]

    def _next(self, step: int) -> tuple[Tensor, dict[tuple[int, int], list[tuple[int, int]]]]:
        """Log-probabilities of the next tokens of all live beams, and where each query's beams stand in them.

        Returns:
            float32 (beams, vocabulary), and for each open query its (beam, place) pairs.
        """
        ids, columns = torch.from_numpy(self.ids), torch.from_numpy(self.columns)
        positions = torch.full_like(ids, self.config.value_position + step)
        embedded = self.denoiser.embed_answers(ids, positions, columns)
        hidden = self.denoiser.decoder.step(embedded, self.cache, self.batch.keep[:, None, None, :])
        write, copied = self.denoiser.copying(hidden, self.copy_keys, self.batch)
        first = self.first_place.expand_as(copied)
        copied = torch.zeros_like(copied).scatter_add_(-1, first, copied.exp()).gather(-1, first).clamp_min(1e-30).log()
        rows, slots, places = self._live()
        parts = []
        for start in range(0, len(rows), _VOCABULARY_CHUNK):
            # Every chunk has one shape, so that a beam's numbers do not depend on how many there are.
            chosen = np.arange(start, start + _VOCABULARY_CHUNK) % len(rows)
            row, slot = torch.from_numpy(rows[chosen]), torch.from_numpy(slots[chosen])
            parts.append(
                self.denoiser.chosen_next_token_log_probabilities(
                    hidden[row, slot], copied[row, slot], self.batch.ids[row], write[row, slot]
                )[: len(rows) - start]
            )
        logits = torch.cat(parts)
        logits[..., list(_UNWRITABLE)] = float("-inf")
        logits[..., self.tokenizer.vocabulary_size :] = float("-inf")  # a small corpus may have filled fewer rows
        if step:
            logits[..., int(SpecialToken.NULL)] = float("-inf")
        return logits, places

    def _live(self) -> tuple[np.ndarray, np.ndarray, dict[tuple[int, int], list[tuple[int, int]]]]:
        """Row and slot of every beam that an open query still follows, and each query's (beam, place) pairs."""
        rows: list[int] = []
        slots: list[int] = []
        places: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for row, number in sorted(self.open):
            live = np.nonzero(np.isfinite(self.scores[row, number]))[0].tolist()
            places[row, number] = [(beam, len(rows) + order) for order, beam in enumerate(live)]
            rows += [row] * len(live)
            slots += [number * BEAMS + beam for beam in live]
        return np.asarray(rows), np.asarray(slots), places

    def _advance(self, logits: Tensor, places: dict[tuple[int, int], list[tuple[int, int]]]) -> None:
        """Extend each open query by its best tokens; ended hypotheses move to `done`."""
        top = torch.topk(logits, 2 * BEAMS, dim=-1)
        values, tokens = top.values.double().numpy(), top.indices.numpy()
        order = np.arange(self.ids.size)
        for (row, number), beams in places.items():
            if self.prefix is not None and self.queries[row][number].prefix:
                options = self._constrained(row, number, logits, beams)
            else:
                options = [
                    (float(self.scores[row, number, beam] + values[place, rank]), beam, int(token))
                    for beam, place in beams
                    for rank, token in enumerate(tokens[place])
                ]
            self._extend(row, number, sorted(options, key=lambda option: (-option[0], option[1], option[2])), order)
        self.cache.reorder(torch.from_numpy(order))

    def _constrained(
        self, row: int, number: int, logits: Tensor, beams: Sequence[tuple[int, int]]
    ) -> list[tuple[float, int, int]]:
        """Options that keep to the query's prefix."""
        assert self.prefix is not None
        wanted = self.queries[row][number].prefix.encode("utf-8", "surrogatepass")
        options = []
        for beam, place in beams:
            score = float(self.scores[row, number, beam])
            length = sum(len(self.tokenizer.token_bytes(token)) for token in self.history[row][number][beam])
            if length < len(wanted):
                allowed = torch.tensor(self.prefix.allowed(wanted[length:]))
            else:
                allowed = torch.topk(logits[place], 2 * BEAMS).indices
            best = torch.topk(logits[place][allowed], min(2 * BEAMS, len(allowed)))
            options += [
                (score + float(value), beam, int(allowed[index]))
                for value, index in zip(best.values, best.indices, strict=True)
            ]
        return options

    def _extend(self, row: int, number: int, options: list[tuple[float, int, int]], order: np.ndarray) -> None:
        old, first = self.history[row][number], number * BEAMS
        base = row * MAX_QUERIES * BEAMS + first
        histories: list[list[int]] = []
        scores = np.full(BEAMS, -np.inf)
        for score, beam, token in options:
            if not np.isfinite(score) or score < self.likeliest[row, number] - _HOPELESS:
                continue
            if token == SpecialToken.END:
                self.likeliest[row, number] = max(self.likeliest[row, number], score)
                self.done[row][number].append((score / (len(old[beam]) + 1), old[beam]))
                continue
            place = len(histories)
            histories.append([*old[beam], token])
            scores[place] = score
            order[base + place] = base + beam
            self.ids[row, first + place] = token
            if len(histories) == BEAMS:
                break
        self.history[row][number] = histories + [[] for _ in range(BEAMS - len(histories))]
        self.scores[row, number] = scores
        if not histories or self._settled(row, number, scores[0], len(histories[0])):
            self.open.discard((row, number))

    def _settled(self, row: int, number: int, best: float, length: int) -> bool:
        """Enough ended hypotheses, and no open one can still beat them by its mean log-probability."""
        done = sorted((score for score, _ in self.done[row][number]), reverse=True)
        return len(done) >= BEAMS and best / (length + 1) < done[BEAMS - 1]

    def _texts(self, row: int, number: int) -> list[str]:
        """Texts of the ended hypotheses, best first; bytes that are no text are no value."""
        ended = sorted(self.done[row][number], key=lambda one: (-one[0], one[1]))[:BEAMS]
        prefix = self.queries[row][number].prefix
        start = len(prefix.encode("utf-8", "surrogatepass"))
        texts = []
        for _, ids in ended:
            written = b"".join(self.tokenizer.token_bytes(token) for token in ids)
            try:
                texts.append(prefix + written[start:].decode("utf-8"))
            except UnicodeDecodeError:
                continue
        return list(dict.fromkeys(texts))


def _score(
    checkpoint: Checkpoint,
    states: Tensor,
    batch: EncoderBatch,
    cross: list[tuple[Tensor, Tensor]],
    queries: Sequence[Sequence[AnswerQuery]],
    values: Sequence[Sequence[dict[str, bool]]],
) -> list[list[list[ScoredValue]]]:
    """Log-probabilities of all values, packed behind one another; as many packs at once as the batch has rows."""
    packs = [
        (row, pack)
        for row, (row_queries, row_values) in enumerate(zip(queries, values, strict=True))
        for pack in _pack(checkpoint, row_queries, row_values)
    ]
    results: list[list[list[ScoredValue]]] = [[[] for _ in row_queries] for row_queries in queries]
    given = _Given(batch, cross, checkpoint.denoiser.copy_keys(states, batch))
    rows = batch.ids.shape[0]
    for start in range(0, len(packs), rows):
        part = packs[start : start + rows]
        sums = _score_round(checkpoint, given.of([row for row, _ in part], rows), queries, part)
        for place, (row, pack) in enumerate(part):
            for number, (query, value, ids) in enumerate(pack):
                scored = ScoredValue(value, sums[place, number], len(ids), values[row][query][value])
                results[row][query].append(scored)
    for row_results in results:
        for scored_values in row_results:
            scored_values.sort(key=lambda one: (-one.mean_log_probability, one.value))
    return results


@dataclass(frozen=True, slots=True)
class _Given:
    """What scoring needs of the encoder, by row."""

    batch: EncoderBatch
    cross: list[tuple[Tensor, Tensor]]
    copy_keys: Tensor

    def of(self, rows: Sequence[int], count: int) -> _Given:
        """The same for chosen rows, filled up to `count` with the first."""
        index = torch.tensor([*rows, *[rows[0]] * (count - len(rows))])
        batch = EncoderBatch(*(getattr(self.batch, name)[index] for name in EncoderBatch.__slots__))
        return _Given(batch, [(keys[index], values[index]) for keys, values in self.cross], self.copy_keys[index])


_Pack = list[tuple[int, str, list[int]]]


def _pack(checkpoint: Checkpoint, queries: Sequence[AnswerQuery], values: Sequence[dict[str, bool]]) -> list[_Pack]:
    """(query number, value, ids) in groups of at most `_SCORE_LENGTH` tokens."""
    packs: list[_Pack] = [[]]
    length = 0
    for number in range(len(queries)):
        for value in values[number]:
            ids = _score_ids(checkpoint, value)
            if length + len(ids) > _SCORE_LENGTH:
                packs.append([])
                length = 0
            packs[-1].append((number, value, ids))
            length += len(ids)
    return packs if packs[0] else []


def _score_ids(checkpoint: Checkpoint, value: str) -> list[int]:
    """Tokens that a value is scored by: all of it and its end, or its beginning where it is too long to write."""
    ids = checkpoint.serializer.answer_ids(value)
    limit = checkpoint.config.max_value_tokens
    return ids if ids is not None else list(checkpoint.serializer.tokenizer.encode(value[: limit * 24])[:limit])


def _score_round(
    checkpoint: Checkpoint, given: _Given, queries: Sequence[Sequence[AnswerQuery]], packs: Sequence[tuple[int, _Pack]]
) -> dict[tuple[int, int], float]:
    """Sums of token log-probabilities by (place of the pack, place in the pack); pack i stands in row i of `given`."""
    answers = np.zeros((4, given.batch.ids.shape[0], _SCORE_LENGTH), dtype=np.int64)
    asked: list[tuple[int, int, int, int]] = []  # place, index, token, number
    start_position = checkpoint.config.value_position
    for place, (row, pack) in enumerate(packs):
        start = 0
        for number, (query_number, _, ids) in enumerate(pack):
            query, end = queries[row][query_number], start + len(ids)
            answers[0, place, start:end] = [TASKS[query.task], *ids[:-1]]
            answers[1, place, start:end] = np.arange(start_position, start_position + len(ids))
            answers[2, place, start:end] = query.column_id
            answers[3, place, start:end] = number + 1
            asked += [(place, start + step, token, number) for step, token in enumerate(ids)]
            start = end
    packed = DecoderBatch(*torch.from_numpy(answers))
    denoiser = checkpoint.denoiser
    embedded = denoiser.embed_answers(packed.ids, packed.positions, packed.columns)
    hidden = denoiser.decoder(embedded, packed.self_mask(), given.cross, given.batch.keep[:, None, None, :])
    copying = denoiser.copying(hidden, given.copy_keys, given.batch)
    table = np.asarray(asked, dtype=np.int64)
    sums: dict[tuple[int, int], float] = {}
    for start in range(0, len(table), _TARGET_CHUNK):
        part = table[np.arange(start, start + _TARGET_CHUNK) % len(table)]
        rows, index, tokens, _ = (torch.from_numpy(np.ascontiguousarray(column)) for column in part.T)
        scores = denoiser.token_log_probabilities(hidden, copying, given.batch, rows, index, tokens).tolist()
        for (place, _, _, number), score in zip(asked[start : start + _TARGET_CHUNK], scores, strict=False):
            sums[place, number] = sums.get((place, number), 0.0) + score
    return sums

"""Values that could stand in a cell, from the decoder and from the table, each with its features.

The decoder's beams, the values that agreeing tuples hold, the values of the column near the observed
one, and what the context tuples say: all are scored by the decoder, and all get the same features. The
calibrator then says how likely each is to be the truth. Nothing from the table is taken unscored, and
nothing from the model is taken without looking at the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import numpy as np

from model.checkpoint import Checkpoint
from model.inference.batching import AnswerCall, ModelTask, Progress
from model.inference.filling import EVIDENCE_FEATURES, CellEvidence, FillEvidence
from model.inference.generation import MAX_QUERIES, AnswerQuery, ScoredValue
from model.inference.reading import Reader
from model.inference.statistics import CANDIDATE_FEATURES, RelationStatistics, Vote
from model.serialization import Mask
from model.tuples import Cell

_LIMIT = 10.0
_BEGUN = 8
"""Values of the column that go on from a prefix and are candidates, however far from the cell they stand."""

WAVE = 192
"""Model calls that a task asks for at once: enough to fill batches, little enough to hold."""

MODEL_FEATURES = (
    "mean_log_probability",
    "log_probability",
    "tokens",
    "gap_to_best_other",
    "gap_to_observed",
    "written",
    "rank",
    "is_missing",
)
"""What the model alone says about a candidate value; the features of the calibrators without statistics."""

REPAIR_JUDGE_FEATURES = ("error_logit", *CANDIDATE_FEATURES)
"""What the judge of repairs sees: how suspicious the observed value is, and the statistics of the candidate."""

REPAIR_FEATURES = (*MODEL_FEATURES, "error_logit", "judge_logit", "judge_gap_to_best_other")
"""Features of a value that could repair a cell: what the model says, how likely the observed value is to be wrong, what
the judge of column statistics says, and by how much it prefers the value to the best other one."""

FILL_JUDGE_FEATURES = (
    *CANDIDATE_FEATURES,
    "neighbour_share",
    "is_nearest",
    "neighbour_similarity",
    "in_text",
    "is_longest_in_text",
    *EVIDENCE_FEATURES,
)
"""What the judge of fills sees of a value: what the columns, resembling rows, the row's text and what the table itself
teaches say."""

FILL_FEATURES = (*REPAIR_FEATURES, *FILL_JUDGE_FEATURES)
"""Features of a value that could fill a cell: those of a repair, and what its judge sees."""


@dataclass(frozen=True, slots=True)
class AskedCell:
    """A cell to find values for.

    Attributes:
        task: `repair` reads the observed value, `fill` a missing one, or what is left around a mask.
        error_logit: logit of the probability that the observed value is wrong.
        prefix: what an answer must start with.
        extra: further values to score, as a rule's domain.
    """

    cell: Cell
    task: str = "repair"
    error_logit: float = 0.0
    prefix: str = ""
    extra: tuple[str, ...] = ()

    @property
    def calibrator(self) -> str:
        """The name of the calibrator that weighs its values: what begins with a prefix is likelier for that."""
        return "typed" if self.prefix else self.task


@dataclass(frozen=True, slots=True)
class CandidateSet:
    """Values for one cell with features, float32 (values, len(FILL_FEATURES)): calibrators weigh the first of them."""

    asked: AskedCell
    values: tuple[str, ...]
    written: tuple[bool, ...]
    features: np.ndarray
    votes: tuple[Vote, ...]
    similar: frozenset[str]
    in_text: tuple[str, ...]
    evidence: CellEvidence
    context: dict[str, tuple[int, ...]]
    respelled: str | None = None
    corrected: str | None = None


class CandidateFinder:
    """Finds and scores candidates for cells of one relation."""

    def __init__(self, checkpoint: Checkpoint, reader: Reader, statistics: RelationStatistics | None) -> None:
        self.checkpoint = checkpoint
        self.reader = reader
        self.statistics = statistics
        self.encoder_tokens = 0
        self.decoder_tokens = 0
        self._evidence: dict[Cell, CellEvidence] = {}
        self._in_texts: dict[Cell, tuple[str, ...]] = {}

    def find(
        self, asked: Sequence[AskedCell], progress: Progress | None = None, stage: str = "repair"
    ) -> ModelTask[list[CandidateSet]]:
        """Candidates of every asked cell, in the order asked; progress is reported as `stage`."""
        found: dict[int, CandidateSet] = {}
        self._look_around(asked)
        calls = list(self._calls(asked))
        for start in range(0, len(calls), WAVE):
            wave = calls[start : start + WAVE]
            answers = yield [call for call, _ in wave]
            self.encoder_tokens += sum(len(call.encoder_input) for call, _ in wave)
            scored = {
                number: values
                for (_, members), answer in zip(wave, answers, strict=True)
                for number, values in zip(members, answer, strict=True)
            }
            self.decoder_tokens += sum(one.tokens for values in scored.values() for one in values)
            sets = self._candidate_sets([(asked[number], values) for number, values in scored.items()])
            found |= dict(zip(scored, sets, strict=True))
            if progress is not None:
                progress(stage, len(found), len(asked))
        return [found[number] for number in range(len(asked))]

    def _look_around(self, asked: Sequence[AskedCell]) -> None:
        """Find what the table says of all cells to fill, attribute by attribute."""
        cells = sorted({(one.cell.attribute, one.cell.tuple_id) for one in asked if one.task == "fill"})
        if self.statistics is None or not cells:
            return
        sources = FillEvidence(self.statistics.columns, self.statistics.neighbours)
        for attribute, group in groupby(cells, key=itemgetter(0)):
            tuple_ids = [tuple_id for _, tuple_id in group]
            found = sources.look(attribute, tuple_ids)
            self._evidence |= {Cell(row, attribute): one for row, one in zip(tuple_ids, found, strict=True)}

    def _calls(self, asked: Sequence[AskedCell]) -> Iterable[tuple[AnswerCall, list[int]]]:
        """Calls of at most `MAX_QUERIES` cells of one tuple and one group, with the cells' numbers."""
        groups: dict[tuple[int, int, str], list[int]] = {}
        # Cells of one call are read and scored together: their order must not depend on the order asked.
        for number in sorted(range(len(asked)), key=lambda number: _order(asked[number])):
            one = asked[number]
            key = (one.cell.tuple_id, self.reader.group_of(one.cell.attribute), one.prefix)
            groups.setdefault(key, []).append(number)
        for (tuple_id, group, _), numbers in groups.items():
            for start in range(0, len(numbers), MAX_QUERIES):
                members = numbers[start : start + MAX_QUERIES]
                fills = (asked[number] for number in members if asked[number].task == "fill")
                masks = {one.cell.attribute: Mask(one.prefix) for one in fills}
                encoder_input = self.reader.encoder_input(tuple_id, group, masks)
                yield AnswerCall(encoder_input, tuple(self._query(asked[number]) for number in members)), members

    def _query(self, asked: AskedCell) -> AnswerQuery:
        values = [*asked.extra, *self._context_values(asked.cell)]
        if self.statistics is not None:
            values += self.statistics.proposals(asked.cell)
            if asked.task == "fill":
                values += self._in_text(asked)
                values += self._evidence[asked.cell].values
            if asked.prefix:
                values += self.statistics.columns[asked.cell.attribute].starting_with(asked.prefix, _BEGUN)
        if asked.task == "repair":
            values.append(self.reader.relation.value(asked.cell) or "")
        known = dict.fromkeys(value for value in values if value.startswith(asked.prefix))
        return AnswerQuery(asked.task, self.reader.place(asked.cell.attribute) + 1, tuple(known), asked.prefix)

    def _context_values(self, cell: Cell) -> dict[str, tuple[int, ...]]:
        """Values that the context tuples hold in this attribute, with the tuples that hold them."""
        held: dict[str, tuple[int, ...]] = {}
        for row in self.reader.context[cell.tuple_id]:
            value = self.reader.relation.tuples[int(row)][cell.attribute]
            if value:
                held[value] = (*held.get(value, ()), int(row))
        return held

    def _candidate_sets(self, answered: Sequence[tuple[AskedCell, Sequence[ScoredValue]]]) -> list[CandidateSet]:
        """The candidates of several cells; they are judged together, as trees take as long for one row as for many."""
        seen = [self._seen(asked, scored) for asked, scored in answered]
        judged = [np.zeros(len(scored)) for _, scored in answered]
        for task, judge in self.checkpoint.judges.items():
            places = [place for place, (asked, _) in enumerate(answered) if asked.task == task and len(judged[place])]
            if self.statistics is None or not places:
                continue
            rows = [_judged_features(answered[place][0], seen[place]) for place in places]
            logits = np.clip(judge.logits(np.concatenate(rows)), -_LIMIT, _LIMIT)
            parts = np.split(logits, np.cumsum([len(one) for one in rows])[:-1])
            for place, part in zip(places, parts, strict=True):
                judged[place] = part
        return [
            self._candidate_set(asked, scored, features, logits)
            for (asked, scored), features, logits in zip(answered, seen, judged, strict=True)
        ]

    def _seen(self, asked: AskedCell, scored: Sequence[ScoredValue]) -> np.ndarray:
        """What the table says of each value, float32 (values, len(FILL_JUDGE_FEATURES)); nothing without statistics."""
        if self.statistics is None:
            return np.zeros((len(scored), len(FILL_JUDGE_FEATURES)), dtype=np.float32)
        evidence, in_text = self._evidence.get(asked.cell, CellEvidence()), self._in_text(asked)
        return fill_features(self.statistics, asked.cell, [one.value for one in scored], evidence, in_text)

    def _in_text(self, asked: AskedCell) -> tuple[str, ...]:
        """Known values that stand in the other cells of a tuple whose cell is to be filled."""
        if self.statistics is None or asked.task != "fill":
            return ()
        if asked.cell not in self._in_texts:
            self._in_texts[asked.cell] = tuple(self.statistics.values_in_text(asked.cell))
        return self._in_texts[asked.cell]

    def _candidate_set(
        self, asked: AskedCell, scored: Sequence[ScoredValue], seen: np.ndarray, judged: np.ndarray
    ) -> CandidateSet:
        observed = self.reader.relation.value(asked.cell) or ""
        values = tuple(one.value for one in scored)
        features = np.zeros((len(values), len(FILL_FEATURES)), dtype=np.float32)
        features[:, : len(MODEL_FEATURES)] = _model_features(observed, scored)
        features[:, len(MODEL_FEATURES)] = asked.error_logit
        votes: tuple[Vote, ...] = ()
        similar: frozenset[str] = frozenset()
        evidence = self._evidence.get(asked.cell, CellEvidence())
        if self.statistics is not None:
            votes = tuple(self.statistics.votes(asked.cell, 3))
            similar = frozenset(one.value for one in self.statistics.similar_values(asked.cell, 3))
            features[:, REPAIR_FEATURES.index("judge_logit")] = judged
            features[:, REPAIR_FEATURES.index("judge_gap_to_best_other")] = _gaps(judged, observed, values)
            features[:, len(REPAIR_FEATURES) :] = seen
        written = tuple(one.written for one in scored)
        respelled, corrected = (None, None) if self.statistics is None else self.statistics.spellings(asked.cell)
        context = self._context_values(asked.cell)
        in_text = self._in_text(asked)
        return CandidateSet(
            asked, values, written, features, votes, similar, in_text, evidence, context, respelled, corrected
        )


def _judged_features(asked: AskedCell, seen: np.ndarray) -> np.ndarray:
    """What the judge of the cell's task sees, (values, features)."""
    if asked.task != "repair":
        return seen
    error_logit = np.full((len(seen), 1), asked.error_logit, dtype=np.float32)
    return np.concatenate((error_logit, seen[:, : len(CANDIDATE_FEATURES)]), axis=1)


def fill_features(
    statistics: RelationStatistics, cell: Cell, values: Sequence[str], evidence: CellEvidence, in_text: Sequence[str]
) -> np.ndarray:
    """What the judge of fills sees of each value, float32 (values, len(FILL_JUDGE_FEATURES)).

    Args:
        in_text: known values that stand in the tuple's other cells, longest first.
    """
    votes = {vote.value: vote for vote in evidence.neighbours}
    rows = []
    for value in values:
        vote = votes.get(value)
        around = (vote.share, float(vote.is_nearest), vote.similarity) if vote is not None else (0.0, 0.0, 0.0)
        written = float(value in in_text), float(value in in_text[:1])
        of_column = statistics.candidate_features(cell, value)
        rows.append(np.array([*of_column, *around, *written, *evidence.features(value)], dtype=np.float32))
    return np.array(rows, dtype=np.float32).reshape(-1, len(FILL_JUDGE_FEATURES))


def _gaps(logits: np.ndarray, observed: str, values: Sequence[str]) -> np.ndarray:
    """Each logit without the greatest of the others, the observed value's left out; within ±10."""
    rivals = np.where([value == observed for value in values], -_LIMIT, logits)
    best_other = [np.delete(rivals, place).max(initial=-_LIMIT) for place in range(len(values))]
    return np.asarray(np.clip(logits - np.array(best_other), -_LIMIT, _LIMIT))


def _order(asked: AskedCell) -> tuple[int, int, str, str]:
    return asked.cell.tuple_id, asked.cell.attribute, asked.task, asked.prefix


def _model_features(observed: str, scored: Sequence[ScoredValue]) -> np.ndarray:
    """(values, len(MODEL_FEATURES)); `scored` is best first."""
    means = np.array([one.mean_log_probability for one in scored], dtype=np.float64)
    own = next((one.mean_log_probability for one in scored if one.value == observed), float(means.min(initial=-12.0)))
    rows = []
    for rank, one in enumerate(scored):
        others = np.delete(means, rank)
        best_other = float(others.max()) if len(others) else -12.0
        rows.append(
            (
                one.mean_log_probability,
                max(one.log_probability, -60.0),
                np.log1p(one.tokens),
                float(np.clip(one.mean_log_probability - best_other, -12.0, 12.0)),
                float(np.clip(one.mean_log_probability - own, -12.0, 12.0)),
                float(one.written),
                np.log1p(rank),
                float(not one.value),
            )
        )
    return np.array(rows, dtype=np.float32).reshape(-1, len(MODEL_FEATURES))

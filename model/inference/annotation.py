"""Labels for columns: how likely each label is as the name of a column, by its values, their formats and its header.

Every label is judged for every column by several witnesses: the decoder's likelihood of it as the masked name of the
column (RPT, PVLDB 14(8), section 2: attribute names are denoised as values are), the model of names over n-grams of the
values, what columns of tables at large are called that have these very values, the kinds that the values are written
as, the header, and words of the label that stand in the values. One calibrator, fitted on columns of held-out tables,
weighs them. Columns that were labelled by hand teach a classifier over the n-grams, the kinds and the model of names.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rapidfuzz import fuzz

from model.checkpoint import Checkpoint
from model.errors import InputError, OptionError
from model.inference.batching import AnswerCall, ModelTask, Progress, StepCall
from model.inference.canonical import Canonical
from model.inference.formats import KINDS, accepted_kinds, kind_shares
from model.inference.generation import AnswerQuery
from model.known_values import KnownValues
from model.naming import BUCKETS, NameModel, chosen_values, grams, name_words
from model.serialization import Mask, Part
from model.tuples import Relation, Usage, Value

CALIBRATOR = "annotation"
MIN_CONFIDENCE = 0.5
"""A column is labelled where its best label is at least this likely."""

MOST_LABELS = 1000
_ROWS = 6
_BESIDE = 8
_MOST_TOKENS = 512
_CALLS = 64
_PLAIN = re.compile(r"(?:(?:unnamed|column|col|field|attribute|attr|var|v|c|x)[\s_:.-]*)?\d*", re.IGNORECASE)

BUILT_IN = (
    "address", "age", "airline", "airport", "album", "amount", "area", "artist", "author", "brand", "category", "city",
    "code", "color", "company", "continent", "count", "country", "county", "currency", "date", "description",
    "director", "district", "email", "first name", "gender", "genre", "height", "id", "industry", "isbn", "job title",
    "language", "last name", "latitude", "league", "length", "longitude", "manufacturer", "name", "nationality",
    "number",
    "organization", "percentage", "person", "phone", "place", "player", "population", "position", "price", "product",
    "publisher", "quantity", "rank", "rating", "region", "result", "score", "season", "sex", "song", "species", "state",
    "status", "street", "team", "time", "title", "type", "url", "venue", "weight", "year", "zip code",
)  # fmt: skip
"""The labels where the caller names none."""

_KIN: dict[str, tuple[str, ...]] = {
    "person": ("player", "artist", "author", "director", "candidate", "given", "family", "surname", "driver", "name"),
    "company": ("manufacturer", "publisher", "brand", "organization", "airline", "operator", "developer", "symbol"),
    "organization": ("company", "agency", "institution", "school", "publisher"),
    "place": ("location", "region", "county", "province", "district", "town", "city", "area", "municipality"),
    "location": ("place", "region", "city", "address"),
    "city": ("town", "municipality"),
    "country": ("nation", "nationality"),
    "identifier": ("id", "code", "key", "iata", "icao", "symbol", "alpha"),
    "genre": ("category", "style", "type"),
    "species": ("scientific", "animal", "genus"),
    "government": ("party", "political"),
    "mountain": ("peak", "range"),
    "monetary": ("price", "cost", "budget", "revenue"),
    "song": ("track", "title"),
    "film": ("movie", "title"),
    "language": ("lang",),
    "team": ("club",),
}  # fmt: skip
"""Words of names that a word of a label stands for as well."""

FEATURES = (
    "likelihood", "likelihood_rank", "values", "values_above_mean", "values_rank", "kind_fit", "kind_rank",
    "kind_misfit", "untyped_misfit", "header", "header_rank", "label_in_values", "stands_under", "stands_under_rank",
)  # fmt: skip
"""What is known of a label for a column; `_features` says what they are."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LabelCandidate:
    """A label with the calibrated probability that it is the right one."""

    label: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Annotation:
    """The labels of one column, best first; `label` is set where the best one is likely enough."""

    attribute: int
    candidates: tuple[LabelCandidate, ...]
    label: str | None
    detail: str


@dataclass(frozen=True, slots=True)
class LabelledColumn:
    """A column whose label is known."""

    values: tuple[Value, ...]
    label: str


@dataclass(frozen=True, slots=True)
class AnnotationOptions:
    """How columns are labelled.

    Attributes:
        labels: what can be chosen from; None is the built-in set.
        examples: columns that were labelled by hand.
        max_candidates: labels given for each column.
    """

    labels: tuple[str, ...] | None = None
    min_confidence: float = MIN_CONFIDENCE
    max_candidates: int = 3
    examples: tuple[LabelledColumn, ...] = ()


@dataclass(frozen=True, slots=True)
class AnnotationResult:
    """One annotation for each attribute, in their order."""

    annotations: tuple[Annotation, ...]
    usage: Usage


def annotate(
    checkpoint: Checkpoint,
    relation: Relation,
    options: AnnotationOptions | None = None,
    progress: Progress | None = None,
) -> ModelTask[AnnotationResult]:
    """Label every attribute.

    Raises:
        OptionError: no label, a label twice or blank, or an example whose label is none of them.
        InputError: the checkpoint has no model of names, or no calibrator of annotation, or that of another version.
    """
    options = options or AnnotationOptions()
    labels = tuple(sorted(options.labels if options.labels is not None else BUILT_IN))
    _check(labels, options)
    calibrators = {} if checkpoint.calibration is None else checkpoint.calibration.calibrators
    if checkpoint.names is None or CALIBRATOR not in calibrators:
        raise InputError("the checkpoint cannot annotate: run `python -m model.finetuning.naming`, then `….annotation`")
    calibrator = calibrators[CALIBRATOR]
    if calibrator.features != FEATURES:
        raise InputError(
            "the checkpoint weighs labels as another version does: run `python -m model.finetuning.annotation`"
        )
    began = time.monotonic()
    canonical = Canonical.of(relation)
    asked = [(canonical.relation, attribute) for attribute in range(len(canonical.attributes))]
    judged, tokens = yield from witnesses(checkpoint, asked, labels, progress)
    confidences = [calibrator.predict(features) for features in judged]
    if len({example.label for example in options.examples}) > 1:  # of one label alone nothing tells others apart
        made: list[_Taught] = []
        names = checkpoint.names
        yield [StepCall(lambda: made.append(_Taught.of(names, labels, options.examples)))]
        taught = made[0]
        columns = [canonical.relation.column(attribute) for attribute in range(len(canonical.attributes))]
        confidences = [taught.confidences(column, own) for column, own in zip(columns, confidences, strict=True)]
    annotations = [
        _decide(original, judged[place], confidences[place], labels, options)
        for place, original in enumerate(canonical.attributes)
    ]
    annotations.sort(key=lambda one: one.attribute)
    usage = Usage(len(relation), tokens, 0, round(time.monotonic() - began, 3))
    return AnnotationResult(tuple(annotations), usage)


def _check(labels: Sequence[str], options: AnnotationOptions) -> None:
    if not labels or not all(label.strip() for label in labels):
        raise OptionError("a label is blank, or there is none", field="labels")
    if len(set(labels)) < len(labels):
        raise OptionError("a label is given twice", field="labels")
    if len(labels) > MOST_LABELS:
        raise OptionError(f"there are {len(labels)} labels, at most {MOST_LABELS} are taken", field="labels")
    if not 0.0 <= options.min_confidence <= 1.0 or options.max_candidates < 1:
        raise OptionError("min_confidence is from 0 to 1, max_candidates at least 1", field="min_confidence")
    for number, example in enumerate(options.examples):
        if example.label not in labels:
            raise OptionError("the label of an example is none of the labels", tuple_id=number, field="examples")


Asked = tuple[Relation, int]
"""An attribute of a relation, to be labelled."""


def witnesses(
    checkpoint: Checkpoint, asked: Sequence[Asked], labels: Sequence[str], progress: Progress | None = None
) -> ModelTask[tuple[list[Floats], int]]:
    """What speaks for each label of each attribute, (labels, len(FEATURES)), and the tokens that were read."""
    assert checkpoint.names is not None
    plain = [" ".join(name_words(label)) or label for label in labels]
    spelled = tuple(dict.fromkeys(form for label in plain for form in _spellings(label)))
    prior = yield from _priors(checkpoint, plain)
    found: list[Floats] = []
    tokens = 0
    for start in range(0, len(asked), _CALLS):
        part = asked[start : start + _CALLS]
        calls = [_call(checkpoint, relation, attribute, spelled) for relation, attribute in part]
        tokens += sum(call.encoder_tokens for call in calls)
        likelihoods = yield from _likelihoods(calls, plain)
        for (relation, attribute), own in zip(part, likelihoods, strict=True):
            column, name = relation.column(attribute), relation.attributes[attribute]
            found.append(_features(checkpoint.names, checkpoint.known_values, column, name, labels, own - prior))
        if progress is not None:
            progress("annotate", start + len(part), len(asked))
    return found, tokens


def _likelihoods(calls: list[AnswerCall], plain: Sequence[str]) -> ModelTask[list[Floats]]:
    """Length-normalized log-probability of each label, (labels,), however it is spelled."""
    answers = yield list(calls)
    found = []
    for answer in answers:
        assert isinstance(answer, list)
        said = {one.value: one.mean_log_probability for one in answer[0]}
        found.append(np.array([max(said[form] for form in _spellings(label)) for label in plain]))
    return found


def _spellings(label: str) -> tuple[str, str]:
    return label, label.title()


_REFERENCES = (
    (None, None, None),
    ("12", "7", "105"),
    ("1987", "2004", "2011"),
    ("0.52", "13.7", "2.25"),
    ("2014-03-01", "2015-11-23", "2016-06-30"),
    ("Maria Lopez", "John Smith", "Wei Chen"),
    ("Springfield", "Lakeview", "Port Hope"),
    ("France", "Brazil", "Kenya"),
    ("Acme Inc.", "Globex Corporation", "Initech"),
    ("AB12", "QX-7", "KLM"),
    ("red", "open", "large"),
    ("A Night to Remember", "The Long Road", "Home"),
)
"""Columns of many kinds: a label that is likely for all of them is no news for one."""


_KNOWN_PRIORS: OrderedDict[tuple[str, str], float] = OrderedDict()
_MOST_PRIORS = 20_000


def _priors(checkpoint: Checkpoint, plain: Sequence[str]) -> ModelTask[Floats]:
    """How likely each label is for any column, (labels,): the mean over reference columns, kept for the next time."""
    new = tuple(sorted({label for label in plain if (checkpoint.sha256, label) not in _KNOWN_PRIORS}))
    known = {label: _KNOWN_PRIORS[checkpoint.sha256, label] for label in plain if label not in new}
    if new:
        spelled = tuple(dict.fromkeys(form for label in new for form in _spellings(label)))
        calls = [_reference_call(checkpoint, values, spelled) for values in _REFERENCES]
        said = yield from _likelihoods(calls, new)
        means = np.logaddexp.reduce(said) - np.log(len(said))
        known |= dict(zip(new, means.tolist(), strict=True))
        _KNOWN_PRIORS.update({(checkpoint.sha256, label): known[label] for label in new})
        while len(_KNOWN_PRIORS) > _MOST_PRIORS:
            _KNOWN_PRIORS.popitem(last=False)
    return np.array([known[label] for label in plain])


def _reference_call(checkpoint: Checkpoint, values: tuple[Value, ...], spelled: tuple[str, ...]) -> AnswerCall:
    tuples: list[list[Part]] = [[value] for value in values]
    reference = checkpoint.serializer.serialize([Mask()], tuples[0], tuples[1:])
    return AnswerCall(reference, (AnswerQuery("name", 1, spelled, write=False),))


def _call(checkpoint: Checkpoint, relation: Relation, attribute: int, spelled: tuple[str, ...]) -> AnswerCall:
    """Asks for the name of an attribute, which stands first, beside some others, in some tuples."""
    others = [other for other in range(len(relation.attributes)) if other != attribute][:_BESIDE]
    attributes = [attribute, *others]
    names: list[Part] = [Mask()]
    names += [Mask() if is_plain(relation.attributes[one]) else relation.attributes[one] for one in others]
    rows = [list(relation.tuples[row]) for row in _rows(relation, attribute)]
    tuples: list[list[Part]] = [[row[one] for one in attributes] for row in rows] or [[None] * len(attributes)]
    context = tuples[1:]
    encoder_input = checkpoint.serializer.serialize(names, tuples[0], context)
    while len(encoder_input) > _MOST_TOKENS and (context or len(names) > 1):
        if context:
            context.pop()
        else:
            names.pop()
            tuples[0].pop()
        encoder_input = checkpoint.serializer.serialize(names, tuples[0], context)
    return AnswerCall(encoder_input, (AnswerQuery("name", 1, spelled, write=False),))


def _rows(relation: Relation, attribute: int) -> list[int]:
    """Some tuples with distinct values of an attribute, evenly spread over them."""
    first: dict[str, int] = {}
    for row, values in enumerate(relation.tuples):
        value = values[attribute]
        if value and value.strip():
            first.setdefault(value, row)
    rows = [row for _, row in sorted(first.items())]
    if len(rows) <= _ROWS:
        return rows
    return [rows[place] for place in np.linspace(0, len(rows) - 1, _ROWS).astype(np.int64).tolist()]


def is_plain(name: str) -> bool:
    """Whether a header says nothing: `column 3`, `v1`, `7`."""
    return _PLAIN.fullmatch(name.strip()) is not None


def _features(
    names: NameModel,
    known_values: KnownValues | None,
    column: Sequence[Value],
    name: str,
    labels: Sequence[str],
    likelihoods: Floats,
) -> Floats:
    """What speaks for each label, (labels, len(FEATURES)).

    likelihood, likelihood_rank             of the decoder, above that of a blank column; above the other labels'
    values, values_above_mean, values_rank  log-odds of the label's words by the model of names
    kind_fit, kind_misfit, untyped_misfit   how the values' kinds fit a label that speaks of kinds, or of none
    header, header_rank                     likeness of header and label
    label_in_values                         share of the values in which a word of the label stands
    stands_under, stands_under_rank         log-odds of the label's words where these values stand in tables at large
    """
    values = chosen_values(column)
    said = [set(name_words(value[:_READ_CHARACTERS])) for value in values]
    spoken = _best_words(dict(zip(names.words, names.log_odds(values).tolist(), strict=True)), labels)
    remembered = np.zeros(len(labels))
    if known_values is not None:
        odds = known_values.mean_log_odds(values).tolist()
        remembered = _best_words(dict(zip(known_values.words, odds, strict=True)), labels)
    shares = kind_shares(values) if values else {}
    header = np.array([_likeness(name, label) for label in labels])
    rows = np.zeros((len(labels), len(FEATURES)))
    for number, label in enumerate(labels):
        accepted = accepted_kinds(name_words(label))
        fit = sum(share * accepted.get(kind, 0.0) for kind, share in shares.items())
        typed = 1.0 - shares.get("text", 0.0) - 0.5 * shares.get("code", 0.0) if shares else 0.0
        known = {
            "likelihood": likelihoods[number] - likelihoods.mean(),
            "values": spoken[number],
            "values_above_mean": spoken[number] - spoken.mean(),
            "kind_fit": fit if accepted else 0.0,
            "kind_misfit": 1.0 - fit if accepted else 0.0,
            "untyped_misfit": 0.0 if accepted else typed,
            "header": header[number],
            "label_in_values": _share_with(said, name_words(label)),
            "stands_under": remembered[number],
        }
        rows[number] = [known.get(name, 0.0) for name in FEATURES]
    for rank, source in _RANKS.items():
        scores = rows[:, FEATURES.index(source)]
        rows[:, FEATURES.index(rank)] = scores - _best_other(scores)
    return rows


_RANKS = {
    "likelihood_rank": "likelihood",
    "values_rank": "values",
    "kind_rank": "kind_fit",
    "header_rank": "header",
    "stands_under_rank": "stands_under",
}


def _best_other(scores: Floats) -> Floats:
    """For each score the best of the others."""
    if len(scores) < 2:
        return np.zeros(len(scores))
    order = np.argsort(-scores, kind="stable")
    best = np.full(len(scores), scores[order[0]])
    best[order[0]] = scores[order[1]]
    return best


def _best_words(odds: Mapping[str, float], labels: Sequence[str]) -> Floats:
    """Log-odds of each label by its words and those that stand for them, (labels,).

    A label of which no word is known is worth as much as the others on average.
    """
    spoken = []
    for label in labels:
        words = name_words(label)
        own = [odds[word] for word in words if word in odds]
        kin = [odds[other] - _KIN_COST for word in words for other in _KIN.get(word, ()) if other in odds]
        spoken.append(max([*own, *kin], default=np.nan))
    found = np.array(spoken)
    known = found[~np.isnan(found)]
    return np.where(np.isnan(found), known.mean() if len(known) else 0.0, found)


_KIN_COST = 0.5


def _likeness(name: str, label: str) -> float:
    """Likeness of a header and a label in 0…1; 0 for a header that says nothing."""
    if is_plain(name):
        return 0.0
    one, other = " ".join(name_words(name)), " ".join(name_words(label))
    return fuzz.token_set_ratio(one, other) / 100.0 if one and other else 0.0


def _share_with(said: Sequence[set[str]], words: Sequence[str]) -> float:
    """Share of the values, by their words, in which a word of a label stands."""
    wanted = {word for word in words if len(word) > 2}
    if not said or not wanted:
        return 0.0
    return sum(bool(wanted & one) for one in said) / len(said)


@dataclass(frozen=True, slots=True)
class _Taught:
    """A classifier over labelled columns: n-grams of the values, their kinds, and what the model of names says.

    Attributes:
        known: places of the labels that have examples.
        coefficients, intercepts: a row for each of them.
        examples: the labelled columns as the classifier sees them, a row each.
    """

    names: NameModel
    known: tuple[int, ...]
    coefficients: Floats
    intercepts: Floats
    examples: Floats

    @classmethod
    def of(cls, names: NameModel, labels: Sequence[str], examples: Sequence[LabelledColumn]) -> _Taught:
        """Fit the classifier to columns whose label is known, of two labels or more."""
        from sklearn.linear_model import LogisticRegression

        ordered = sorted(examples, key=lambda one: (one.label, [value or "" for value in one.values]))
        wanted = [labels.index(example.label) for example in ordered]
        vectors = np.stack([_vector(names, one.values) for one in ordered])
        known = tuple(sorted(set(wanted)))
        # Columns are fewer than features: in the space that they span the solution is the same.
        left, spread, right = np.linalg.svd(vectors, full_matrices=False)
        fitted = LogisticRegression(C=_STRENGTH, max_iter=1000).fit(left * spread, wanted)
        coefficients, intercepts = np.asarray(fitted.coef_) @ right, np.asarray(fitted.intercept_)
        if len(known) == 2:  # scikit-learn keeps one row then
            coefficients, intercepts = np.vstack([-coefficients, coefficients]) / 2, np.array([-1, 1]) * intercepts / 2
        return cls(names, known, coefficients, intercepts, vectors)

    def confidences(self, column: Sequence[Value], own: Floats) -> Floats:
        """Probabilities of all labels: by the classifier for those that have examples, else as without examples.

        Where other labels have none, the classifier has only as much to share out as the labels with examples had, or
        as the column is like the nearest example: a column unlike all of them is no more theirs than before.
        """
        vector = _vector(self.names, column)
        scores = self.coefficients @ vector + self.intercepts
        chances = np.exp(scores - scores.max())
        chances /= chances.sum()
        mixed = own.copy()
        mixed[list(self.known)] = chances * (1.0 if len(self.known) == len(own) else self._share(vector, own))
        return np.asarray(np.round(mixed, 6))

    def _share(self, vector: Floats, own: Floats) -> float:
        """How much of the probability is the known labels' together."""
        likeness = float((self.examples[:, :_HASHED] @ vector[:_HASHED]).max())  # cosines of n-grams
        left = float(np.delete(own, self.known).max(initial=0.0))
        most = 1.0 - left * (left > float(own[list(self.known)].max()))
        return min(most, max(float(own[list(self.known)].sum()), likeness))


_STRENGTH = 30.0
_READ_CHARACTERS = 400
_KIND_SCALE, _NAME_SCALE = 1.4, 0.026
_HASHED = 1 << 12


def _vector(names: NameModel, column: Sequence[Value]) -> Floats:
    """A column as the classifier sees it."""
    values = chosen_values(column)
    counts = np.zeros(_HASHED)
    for value in values:
        np.add.at(counts, grams(value).astype(np.int64) * _HASHED // BUCKETS, 1.0)
    counts = np.log1p(counts)
    counts /= max(1e-9, float(np.linalg.norm(counts)))
    shares = kind_shares(values) if values else {}
    kinds = np.array([shares.get(kind, 0.0) for kind in KINDS])
    return np.concatenate([counts, _KIND_SCALE * kinds, _NAME_SCALE * names.log_odds(values)])


def _decide(
    attribute: int, features: Floats, confidences: Floats, labels: Sequence[str], options: AnnotationOptions
) -> Annotation:
    """The best labels of a column; which witness speaks loudest for the first is the detail."""
    total = max(1.0, float(confidences.sum()))
    order = sorted(range(len(labels)), key=lambda place: (-confidences[place], labels[place]))
    candidates = tuple(
        LabelCandidate(labels[place], round(float(confidences[place]) / total, 6))
        for place in order[: options.max_candidates]
    )
    best = candidates[0]
    known = dict(zip(FEATURES, features[order[0]].tolist(), strict=True))
    label = best.label if best.confidence >= options.min_confidence else None
    taught = {example.label for example in options.examples}
    return Annotation(attribute, candidates, label, _reason(known, len(taught) > 1 and best.label in taught))


def _reason(known: Mapping[str, float], taught: bool) -> str:
    said = [
        ("header", known["header"] >= 0.9),
        ("formats of the values", known["kind_fit"] >= 0.8),
        ("values", known["values_rank"] > 0.0),
        (
            "columns of other tables that have these values",
            known["stands_under"] > 0.0 and known["stands_under_rank"] > 0.0,
        ),
        ("the decoder", known["likelihood_rank"] > 0.0),
        ("labelled columns", taught),
    ]
    named = [name for name, speaks in said if speaks]
    return f"spoken for by {', '.join(named)}" if named else "nothing speaks clearly for one label"

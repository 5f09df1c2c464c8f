"""`POST /v1/resolve` and `/v1/resolve/plan`: the entities behind the records of one table or two."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from api_schemas.cleaning import Share
from api_schemas.models import Answer, ModelInfo, Usage
from api_schemas.tables import MAX_NAME_CHARACTERS, Name, Strict, Table, Text, encodable

MAX_EXAMPLES = 1000
MAX_PREFERENCES = 500
RULES = "^(newest|oldest|largest|smallest|longest|shortest|most_words|fewest_words|most_frequent|table:[01]|newest:.+)$"
Rule = Annotated[
    str, StringConstraints(pattern=RULES, max_length=len("newest:") + MAX_NAME_CHARACTERS), AfterValidator(encodable)
]


class RecordPlace(Strict):
    """A record: the number of its table and of its row, both from 0."""

    table: Annotated[int, Field(ge=0, le=1)]
    row: Annotated[int, Field(ge=0)]


class PairExample(Strict):
    """Two records, and whether they are one entity."""

    left: RecordPlace
    right: RecordPlace
    match: bool


class Preference(Strict):
    """What a golden record takes of a column: a rule, or a value that is preferred to another one.

    Rules: `newest`, `oldest`, `largest`, `smallest`, `longest`, `shortest`, `most_words`, `fewest_words`,
    `most_frequent`, `table:0`, `table:1`, and `newest:COLUMN`: the value of the record with the newest date in COLUMN.
    """

    column: Name
    rule: Rule | None = None
    preferred: Text | None = None
    other: Text | None = None


class ResolutionRequest(Strict):
    """One table to find duplicates in, or two to link; columns are aligned by name."""

    tables: Annotated[list[Table], Field(min_length=1, max_length=2)]
    threshold: Share = 0.5
    review_band: Annotated[list[Share], Field(min_length=2, max_length=2)] = [0.3, 0.7]
    examples: Annotated[list[PairExample], Field(max_length=MAX_EXAMPLES)] = []
    max_cluster_size: Annotated[int, Field(ge=2, le=1_000_000)] | None = None
    cardinality: Literal["many_to_many", "one_to_one", "one_to_many"] = "many_to_many"
    consolidate: bool = True
    preferences: Annotated[list[Preference], Field(max_length=MAX_PREFERENCES)] = []
    candidates: Annotated[int, Field(ge=1, le=100)] | None = None
    max_questions: Annotated[int, Field(ge=0, le=1000)] = 10


class Place(Answer):
    """Where a record stands."""

    table: int
    row: int


class LostValue(Answer):
    """A value that the golden record did not take, and the records that hold it."""

    value: str
    members: list[Place]


class ValueProvenance(Answer):
    """Where a golden record's value comes from."""

    value: str | None
    members: list[Place] = Field(description="records that hold the value, in whatever spelling")
    reason: str = Field(description="what decided, such as `only_value`, `frequency` or `preference`")
    confidence: float
    detail: str | None
    lost: list[LostValue]


class EntityCluster(Answer):
    """The records of one entity; a record without another is an entity of its own."""

    id: str
    members: list[Place]
    confidence: float = Field(description="probability that its most doubtful record belongs here")
    capped: bool = Field(description="it would have grown beyond `max_cluster_size`")
    record: dict[str, str | None] | None = Field(None, description="the golden record")
    provenance: dict[str, ValueProvenance] | None = None


class ColumnAgreement(Answer):
    """What one column says of a pair."""

    column: str = Field(description="or `(the record as a whole)`, what trees say of all telling columns together")
    similarity: float | None = Field(description="0 to 1; null where a value is missing")
    weight: float = Field(description="natural log of the Bayes factor: above 0 for one entity, below 0 against")


class ResolvedPair(Answer):
    """Two records and the probability that they are one entity."""

    left: Place
    right: Place
    probability: float
    decision: Literal["match", "review", "no_match"]
    evidence: list[ColumnAgreement]


class DoubtfulPair(Answer):
    """A pair that a person should look at: it disagrees with the clusters, or is uncertain."""

    left: Place
    right: Place
    probability: float
    kind: Literal["joined", "separated", "uncertain"]


class LargeBlock(Answer):
    """Letters that many records share."""

    key: str
    records: int
    sample: list[str]


class ResolutionPlan(Answer):
    """How many pairs are compared, and about how long it takes."""

    records: int
    possible_pairs: int
    candidate_pairs: int
    reduction_ratio: float
    largest_block: int = Field(description="records that share the most frequent letters")
    largest_blocks: list[LargeBlock]
    dropped_blocks: int = Field(description="sequences of letters that too many records share to be followed")
    seconds: float = Field(description="estimate on two cores")


class PlanResponse(Answer):
    """The plan alone; no model has run."""

    plan: ResolutionPlan
    model: ModelInfo
    usage: Usage


class ResolutionResponse(Answer):
    """Every record in one cluster; pairs that match or are for review, likeliest first."""

    clusters: list[EntityCluster]
    pairs: list[ResolvedPair]
    conflicts: list[DoubtfulPair] = Field(description="pairs that disagree with the clusters, strongest first")
    questions: list[DoubtfulPair] = Field(description="pairs whose answer would teach most, as `examples`")
    plan: ResolutionPlan
    histogram: list[int] = Field(description="candidate pairs by probability, in 20 bins of .05 from 0 to 1")
    method: Literal["rivals", "agreement"] = Field(
        description="what decided: standing among rivals, or what both records agree on"
    )
    model: ModelInfo
    usage: Usage

"""Link two files of invented people with Splink or recordlinkage; run by `linking_benchmark.py`.

    python scripts/linking_peers.py {splink,recordlinkage} A.csv B.csv PAIRS.csv

Neither knows the truth. Both are set up as their guides say, with what somebody who knows these columns would write:
phones as digits and dates in one format, blocking rules, a comparison for each column, parameters by expectation
maximization. PAIRS.csv has rows of A and of B with their probability. The file needs nothing of this project.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd

BLOCKS = (
    ("email",), ("phone",), ("surname", "birth_date"), ("given_name", "birth_date"), ("given_name", "postcode"),
    ("surname", "given_name"), ("street", "given_name"), ("birth_date", "postcode"),
)  # fmt: skip


def read(path: Path) -> pd.DataFrame:
    """A table as text with a `unique_id`; phones are digits, dates are ISO."""
    frame = pd.read_csv(path, dtype=str, keep_default_na=False).replace("", None)
    frame["phone"] = frame["phone"].str.replace(r"\D", "", regex=True)
    frame["birth_date"] = frame["birth_date"].str.replace(r"^(\d\d)/(\d\d)/(\d{4})$", r"\3-\2-\1", regex=True)
    frame.insert(0, "unique_id", [str(number) for number in range(len(frame))])
    return frame


def link_splink(left: pd.DataFrame, right: pd.DataFrame) -> pd.DataFrame:
    """Splink on DuckDB."""
    import splink.comparison_level_library as cll
    import splink.comparison_library as cl
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on

    same_street, same_code = "street_l = street_r", "postcode_l = postcode_r"
    address = cl.CustomComparison(
        output_column_name="address",
        comparison_levels=[
            cll.And(cll.NullLevel("street"), cll.NullLevel("postcode")),
            cll.CustomLevel(f"{same_street} and {same_code}", "street and postcode"),
            cll.CustomLevel(same_street, "street"),
            cll.CustomLevel("jaro_winkler_similarity(street_l, street_r) >= 0.92", "street nearly"),
            cll.CustomLevel(same_code, "postcode"),
            cll.CustomLevel("city_l = city_r", "city"),
            cll.ElseLevel(),
        ],
    )
    settings = SettingsCreator(
        link_type="link_only",
        comparisons=[
            cl.NameComparison("given_name"),
            cl.NameComparison("surname"),
            cl.DateOfBirthComparison("birth_date", input_is_string=True),
            address,  # one comparison: its parts agree together, and independent ones would count a home three times
            cl.LevenshteinAtThresholds("phone", [1, 2]),
            cl.EmailComparison("email"),
        ],
        blocking_rules_to_generate_predictions=[block_on(*block) for block in BLOCKS],
    )
    database = DuckDBAPI()
    linker = Linker([database.register(left), database.register(right)], settings, log_level="ERROR")
    certain = [block_on("given_name", "surname", "birth_date"), block_on("email")]
    linker.training.estimate_probability_two_random_records_match(certain, recall=0.8)
    linker.training.estimate_u_using_random_sampling(max_pairs=2e6, seed=1)
    for block in (("surname", "birth_date"), ("email",), ("given_name", "postcode")):
        linker.training.estimate_parameters_using_expectation_maximisation(
            block_on(*block), record_sample_proportion=1.0
        )
    found = linker.inference.predict(threshold_match_probability=0.05).as_pandas_dataframe()
    names = {"unique_id_l": "left", "unique_id_r": "right", "match_probability": "probability"}
    return found[list(names)].rename(columns=names)


def link_recordlinkage(left: pd.DataFrame, right: pd.DataFrame) -> pd.DataFrame:
    """recordlinkage: Jaro-Winkler or equality of each column, weighed by an ECM classifier."""
    import recordlinkage as rl

    indexer = rl.Index()
    for block in BLOCKS:
        indexer.block(list(block))
    pairs = indexer.index(left, right)
    compare = rl.Compare()
    for column in ("given_name", "surname", "street", "email"):
        compare.string(column, column, method="jarowinkler", threshold=0.88, label=column)
    for column in ("birth_date", "city", "postcode", "phone"):
        compare.exact(column, column, label=column)
    features = compare.compute(pairs, left, right)
    classifier = rl.ECMClassifier(binarize=0.5)
    classifier.fit(features)
    probabilities = classifier.prob(features)
    return pd.DataFrame(
        {
            "left": probabilities.index.get_level_values(0).astype(str),
            "right": probabilities.index.get_level_values(1).astype(str),
            "probability": probabilities.to_numpy(),
        }
    )


SYSTEMS: dict[str, Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]] = {
    "splink": link_splink,
    "recordlinkage": link_recordlinkage,
}


def main() -> int:
    """Command line; gives 0."""
    system, first, second, output = sys.argv[1:]
    SYSTEMS[system](read(Path(first)), read(Path(second))).to_csv(output, index=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())

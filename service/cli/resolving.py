"""`rpt resolve`: one table file or two in, golden records and their members out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from service.cli.cleaning import Delimiter, EncodingName, ModelFolder, Quiet, loaded
from service.cli.judging import Planned, Resolved, ResolvedEntity, ResolvingOptions
from service.cli.picture import resolution_picture
from service.cli.terminal import CommandError, ProgressBars, check_places, failing_plainly, say
from service.cli.whole_tables import PROBLEMS, WholeTable, read_whole, say_damaged, written_csv
from service.storage.files import written_whole

CARDINALITIES = ("many_to_many", "one_to_one", "one_to_many")

Files = Annotated[list[str], typer.Argument(metavar="A [B]", help="One table, to find its duplicates, or two to link.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="OUT", help="CSV of golden records; OUT.members.csv says who is who."),
]
Threshold = Annotated[
    float, typer.Option(min=0.0, max=1.0, help="Probability from which on a pair speaks for one entity.")
]
CardinalityName = Annotated[
    str,
    typer.Option("--cardinality", help=f"Records of each table that an entity may have: {', '.join(CARDINALITIES)}."),
]
MaxClusterSize = Annotated[int | None, typer.Option(min=2, help="Records of an entity at most.")]
CandidateCount = Annotated[
    int | None, typer.Option("--candidates", min=1, max=100, help="Records that each record is compared with.")
]
Prefer = Annotated[
    list[str] | None,
    typer.Option("--prefer", metavar="COLUMN=RULE", help="newest, oldest, largest, smallest, longest, table:0, …"),
]
NoConsolidate = Annotated[bool, typer.Option("--no-consolidate", help="No golden records, the members alone.")]
Plan = Annotated[bool, typer.Option("--plan", help="Say what would be compared, and stop.")]
PairsPath = Annotated[
    Path | None, typer.Option("--pairs", metavar="PAIRS", help="Also write the judged pairs: what each column says.")
]
PicturePath = Annotated[
    Path | None,
    typer.Option("--picture", metavar="SVG", help="Also draw how sure it is, and the most doubtful pair."),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print the summary, or the plan, as JSON to stdout.")]


def resolve(
    files: Files,
    output: Output = None,
    threshold: Threshold = 0.5,
    cardinality: CardinalityName = "many_to_many",
    max_cluster_size: MaxClusterSize = None,
    candidates: CandidateCount = None,
    prefer: Prefer = None,
    no_consolidate: NoConsolidate = False,
    plan: Plan = False,
    pairs: PairsPath = None,
    picture: PicturePath = None,
    as_json: AsJson = False,
    encoding: EncodingName = None,
    delimiter: Delimiter = None,
    model: ModelFolder = None,
    quiet: Quiet = False,
) -> None:
    """Find which records are one entity, within one table or between two, and write a golden record of each.

    Rows are numbered from 0, the header apart. A row that cannot be read takes no part, and is counted.
    """
    with failing_plainly(*PROBLEMS):
        options = ResolvingOptions(
            threshold,
            _cardinality(cardinality, files),
            max_cluster_size,
            candidates,
            not no_consolidate,
            _rules(prefer),
        )
        places = _places(files, output, (pairs, picture), writes=not plan)
        tables = [read_whole(file, encoding, delimiter) for file in files]
        named = [(table.names, table.rows) for table in tables]
        with loaded(model, quiet) as judges, ProgressBars(enabled=not quiet) as bars:
            if plan:
                planned = judges.plan(named, options)
                if as_json:
                    _print(asdict(planned))
                else:
                    _show_plan(planned)
                return
            resolved = judges.resolution(named, options, bars)
        assert places is not None
        _write(resolved, tables, places, pairs)
        if picture is not None:
            _draw(resolved, tables, options, picture)
        if as_json:
            _print(_summary(resolved, tables, places, pairs))
        elif not quiet:
            _show(resolved, tables, places, pairs)


def _cardinality(name: str, files: Sequence[str]) -> str:
    if len(files) > 2:
        raise CommandError(f"one table or two are resolved, not {len(files)}")
    if name not in CARDINALITIES:
        raise CommandError(f"--cardinality {name}: choose from {', '.join(CARDINALITIES)}")
    if name != CARDINALITIES[0] and len(files) != 2:
        raise CommandError(f"--cardinality {name} needs two tables")
    return name


def _rules(prefer: Sequence[str] | None) -> dict[str, str]:
    rules = {}
    for one in prefer or ():
        column, sign, rule = one.rpartition("=")
        if not sign or not column or not rule:
            raise CommandError(f"--prefer {one}: write COLUMN=RULE")
        rules[column] = rule
    return rules


def _places(
    files: Sequence[str], output: Path | None, others: Sequence[Path | None], *, writes: bool
) -> tuple[Path, Path] | None:
    """The two output files; neither these nor the others may be an input."""
    if not writes:
        return None
    if output is None:
        raise CommandError("say where the golden records go: -o OUT")
    members = output.with_name(f"{output.stem}.members.csv")
    check_places(output, [Path(file) for file in files], members, *others)
    return output, members


def _write(resolved: Resolved, tables: Sequence[WholeTable], places: tuple[Path, Path], pairs: Path | None) -> None:
    output, members = places
    columns = _columns(resolved, tables)
    # A blank cell would read as a missing value where no golden record was made.
    held = [] if any(entity.record is None for entity in resolved.entities) else columns
    with written_csv(output) as golden, written_csv(members) as listed:
        golden.writerow(["entity_id", "entity_confidence", "records", *held])
        listed.writerow(["entity_id", "table", "row"])
        for entity in resolved.entities:
            golden.writerow([entity.id, f"{entity.confidence:.4f}", len(entity.members), *_values(entity, held)])
            for table, row in entity.members:
                listed.writerow([entity.id, table, tables[table].numbers[row]])
    if pairs is not None:
        with written_csv(pairs) as written:
            written.writerow(
                ["left_table", "left_row", "right_table", "right_row", "probability", "decision", *columns]
            )
            for one in resolved.pairs:
                ends = [
                    number for table, row in (one.left, one.right) for number in (table, tables[table].numbers[row])
                ]
                weights = [f"{one.weights[name]:.3f}" if name in one.weights else "" for name in columns]
                written.writerow([*ends, f"{one.probability:.4f}", one.decision, *weights])


def _draw(resolved: Resolved, tables: Sequence[WholeTable], options: ResolvingOptions, path: Path) -> None:
    doubtful = min(resolved.pairs, key=lambda one: abs(one.probability - options.threshold), default=None)
    pair = None
    if doubtful is not None:
        ends = [f"{table}:{tables[table].numbers[row]}" for table, row in (doubtful.left, doubtful.right)]
        title = f"most doubtful: rows {ends[0]} and {ends[1]} (table:row), probability {doubtful.probability:.2f}"
        pair = title, doubtful.weights
    drawn = resolution_picture(resolved.histogram, options.threshold, resolved.review_band, pair)
    with written_whole(path) as file:
        file.write(drawn.encode("utf-8"))


def _columns(resolved: Resolved, tables: Sequence[WholeTable]) -> list[str]:
    """The columns of the answer in the order of the tables: columns that are named alike but for case are one."""
    records = [entity.record for entity in resolved.entities[:1] if entity.record is not None]
    named = [*records, *(pair.weights for pair in resolved.pairs[:1])]
    known = dict.fromkeys(name for one in named for name in one)
    names = dict.fromkeys(name for table in tables for name in table.names)
    return [name for name in names if name in known or not known] + [name for name in known if name not in names]


def _values(entity: ResolvedEntity, columns: Sequence[str]) -> list[str]:
    return [(entity.record or {}).get(name) or "" for name in columns]


def _show_plan(plan: Planned) -> None:
    say(f"{plan.records:,} records, {plan.possible_pairs:,} possible pairs")
    say(f"{plan.candidate_pairs:,} candidate pairs at most ({plan.reduction_ratio:.2%} of the possible are left out)")
    if plan.dropped_blocks:
        say(f"{plan.dropped_blocks:,} sequences of letters are left out: too many records share them", style="yellow")
    say(f"about {plan.seconds:,.0f} s on two cores")


def _summary(
    resolved: Resolved, tables: Sequence[WholeTable], places: tuple[Path, Path], pairs: Path | None
) -> dict[str, object]:
    return {
        "records": sum(len(table.rows) for table in tables),
        "entities": len(resolved.entities),
        "entities_of_several": sum(len(entity.members) > 1 for entity in resolved.entities),
        "candidate_pairs": resolved.candidate_pairs,
        "review": sum(pair.decision == "review" for pair in resolved.pairs),
        "conflicts": resolved.conflicts,
        "damaged_rows": sum(table.damaged for table in tables),
        "method": resolved.method,
        "seconds": resolved.seconds,
        "golden": str(places[0]),
        "members": str(places[1]),
        "pairs": None if pairs is None else str(pairs),
    }


def _print(document: dict[str, object]) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False))


def _show(resolved: Resolved, tables: Sequence[WholeTable], places: tuple[Path, Path], pairs: Path | None) -> None:
    records = sum(len(table.rows) for table in tables)
    several = sum(len(entity.members) > 1 for entity in resolved.entities)
    review = sum(pair.decision == "review" for pair in resolved.pairs)
    say(f"{records:,} records, {len(resolved.entities):,} entities, {several:,} of several records")
    say(f"{resolved.candidate_pairs:,} pairs compared, {review:,} for review, {resolved.conflicts:,} conflicts")
    decided = {"rivals": "standing among rivals", "agreement": "what the records agree on"}[resolved.method]
    say(f"decided by {decided}, in {resolved.seconds:.1f} s")
    for table in tables:
        say_damaged(table)
    say(f"Golden records: {places[0]}")
    say(f"Members:        {places[1]}")
    if pairs is not None:
        say(f"Pairs:          {pairs}")

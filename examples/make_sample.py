"""Makes the sample table: clinics and their departments, all invented, with errors of known kinds and the truth.

    python examples/make_sample.py [FOLDER]

writes clinics_clean.csv, clinics_dirty.csv and clinics_errors.csv (row, column, kind, dirty, clean; rows from 0)
into FOLDER, by default the folder of this file. The files beside it are exactly what it writes.

Cities, states and zip codes are real places, so that they belong together; clinics, streets and figures are
made up, and every telephone number lies in the range that is reserved for fiction.
"""

from __future__ import annotations

import csv
import io
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SEED = 20
CLINICS = 84
ROWS = 300

COLUMNS = (
    "clinic_id",
    "clinic",
    "street",
    "city",
    "state",
    "zip",
    "phone",
    "department",
    "services",
    "opened",
    "beds",
    "visit_fee",
)
PLACES = (
    ("Cambridge", "MA", "02139", "617"),
    ("Boston", "MA", "02116", "617"),
    ("Amherst", "MA", "01002", "413"),
    ("New Haven", "CT", "06511", "203"),
    ("Hartford", "CT", "06103", "860"),
    ("Hoboken", "NJ", "07030", "201"),
    ("Princeton", "NJ", "08540", "609"),
    ("Concord", "NH", "03301", "603"),
    ("Portland", "ME", "04101", "207"),
    ("Burlington", "VT", "05401", "802"),
    ("Providence", "RI", "02903", "401"),
    ("New York", "NY", "10001", "212"),
    ("Philadelphia", "PA", "19104", "215"),
    ("Chicago", "IL", "60614", "312"),
    ("Ann Arbor", "MI", "48104", "734"),
    ("Madison", "WI", "53703", "608"),
    ("Minneapolis", "MN", "55401", "612"),
    ("St. Louis", "MO", "63101", "314"),
    ("New Orleans", "LA", "70112", "504"),
    ("Denver", "CO", "80202", "303"),
    ("Salt Lake City", "UT", "84101", "801"),
    ("Seattle", "WA", "98101", "206"),
)
DEPARTMENTS = {
    "Cardiology": "ECG, echocardiography, stress test",
    "Radiology": "X-ray, MRI, ultrasound",
    "Pediatrics": "check-up, vaccination",
    "Dermatology": "skin check, biopsy",
    "Orthopedics": "fracture care, joint injection",
    "Dentistry": 'cleaning, filling, "same-day" crown',
    "Emergency": "walk-in, minor surgery",
    "Physiotherapy": "back school, gait training",
    "Laboratory": "blood count",
}
WITHOUT_BEDS = frozenset({"Dentistry", "Laboratory", "Physiotherapy"})
STREETS = ("Oak", "Maple", "Harbor", "Mill", "Station", "Orchard", "Chestnut", "Lakeview", "Summit", "Garden")
STREET_KINDS = ("Street", "Avenue", "Road", "Lane")
FIRST_NAMES = (
    "Harbor",
    "Riverside",
    "Elm Grove",
    "Northgate",
    "Bayview",
    "Old Mill",
    "Lighthouse",
    "Cedar Hill",
    "Union",
)
SECOND_NAMES = ("Clinic", "Health Center", "Medical Group", "Care, Inc.", "Family Practice")
MISSING_SPELLINGS = ("N/A", "-", "unknown", "null", "n.a.", "")
NEIGHBOURS = {
    "a": "s",
    "e": "r",
    "i": "o",
    "o": "p",
    "n": "m",
    "t": "r",
    "s": "a",
    "r": "t",
    "l": "k",
    "c": "v",
    "u": "i",
}

Row = list[str]


@dataclass(frozen=True, slots=True)
class Error:
    """One wrong cell: where it is, how it came about, what stands there and what should."""

    row: int
    column: str
    kind: str
    dirty: str
    clean: str


def make_clean(rng: random.Random) -> list[Row]:
    """Departments of clinics: what belongs to the clinic is the same in each of its rows."""
    names = rng.sample([f"{first} {second}" for first in FIRST_NAMES for second in SECOND_NAMES], 45)
    table: list[Row] = []
    for number in range(CLINICS):
        city, state, zip_code, area = PLACES[number % len(PLACES)]
        street = f"{rng.randint(2, 480)} {rng.choice(STREETS)} {rng.choice(STREET_KINDS)}"
        phone = f"{area}-555-{100 + number:04d}"
        clinic = [f"C{number + 1:03d}", names[number % len(names)], street, city, state, zip_code, phone]
        departments = rng.sample(sorted(DEPARTMENTS), rng.choice((3, 3, 4, 4, 5)))
        table += [[*clinic, *_department(department, rng)] for department in sorted(departments)]
    return table[:ROWS]


def _department(department: str, rng: random.Random) -> Row:
    """Department, services, opening date, beds and fee."""
    opened = f"{rng.randint(1978, 2021)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
    beds = "" if department in WITHOUT_BEDS else str(rng.randint(4, 60))
    return [department, DEPARTMENTS[department], opened, beds, f"{rng.randint(6, 48) * 5}.00"]


def typo(value: str, rng: random.Random) -> str:
    """A letter replaced by its neighbour on the keyboard, doubled or left out."""
    places = [place for place, letter in enumerate(value) if letter.lower() in NEIGHBOURS and place > 0]
    place = rng.choice(places)
    letter = value[place]
    return value[:place] + rng.choice((NEIGHBOURS[letter.lower()], letter * 2, "")) + value[place + 1 :]


def missing_spelling(value: str, rng: random.Random) -> str:
    """One of the ways in which people write that they do not know."""
    return rng.choice(MISSING_SPELLINGS)


def other_city(value: str, rng: random.Random) -> str:
    """Another city of the table, which zip code and state contradict."""
    return rng.choice([place[0] for place in PLACES if place[0] != value])


def other_state(value: str, rng: random.Random) -> str:
    """Another state of the table, which zip code and city contradict."""
    return rng.choice(sorted({place[1] for place in PLACES} - {value}))


def wrong_case(value: str, rng: random.Random) -> str:
    """All capitals or no capitals."""
    return rng.choice((value.upper(), value.lower()))


def truncated(value: str, rng: random.Random) -> str:
    """The end cut off."""
    return value[: max(3, len(value) - rng.randint(3, 6))].rstrip(" ,")


def stray_blanks(value: str, rng: random.Random) -> str:
    """A blank too many, in front, behind or between two words."""
    return rng.choice((f" {value}", f"{value} ", value.replace(" ", "  ", 1) if " " in value else f"{value} "))


def american_date(value: str, rng: random.Random) -> str:
    """An ISO date written with the month first."""
    year, month, day = value.split("-")
    return f"{int(month)}/{int(day)}/{year}"


def bracketed_phone(value: str, rng: random.Random) -> str:
    """The same number in another notation."""
    area, exchange, line = value.split("-")
    return rng.choice((f"({area}) {exchange}-{line}", f"{area}.{exchange}.{line}"))


def currency(value: str, rng: random.Random) -> str:
    """The same amount with its currency."""
    return rng.choice((f"${value}", f"{value} USD"))


def lost_zero(value: str, rng: random.Random) -> str:
    """A zip code that a spreadsheet took for a number."""
    return value.lstrip("0")


def slip(value: str, rng: random.Random) -> str:
    """A digit too many: the number is about a hundred times too large."""
    whole, dot, fraction = value.partition(".")
    return f"{whole}{rng.choice(('00', '50', '99'))}{dot}{fraction}"


Operator = Callable[[str, random.Random], str]

KINDS: dict[str, tuple[int, dict[str, Operator]]] = {
    "typo": (40, {name: typo for name in ("clinic", "street", "city", "department", "services")}),
    "missing spelling": (18, {name: missing_spelling for name in ("clinic", "city", "state", "phone", "services")}),
    "violated dependency": (16, {"city": other_city, "state": other_state}),
    "format drift": (24, {"opened": american_date, "phone": bracketed_phone, "visit_fee": currency}),
    "wrong case": (14, {name: wrong_case for name in ("city", "department", "clinic")}),
    "truncated": (12, {name: truncated for name in ("clinic", "department", "services", "street")}),
    "numeric slip": (10, {"beds": slip, "visit_fee": slip}),
    "lost zero": (8, {"zip": lost_zero}),
    "stray blanks": (8, {name: stray_blanks for name in ("city", "clinic", "department")}),
}
"""For each kind of error: how many cells get it, in which columns, and by what."""

SWAPS = (("city", "state"), ("clinic", "street"), ("department", "city"))
SWAPPED_ROWS = 5


def make_dirty(clean: Sequence[Row], rng: random.Random) -> tuple[list[Row], list[Error]]:
    """A copy with errors, at most two in a row, and the list of them by row and column."""
    dirty = [list(row) for row in clean]
    errors: list[Error] = []
    load = [0] * len(clean)

    def put(row: int, column: str, kind: str, value: str) -> None:
        place = COLUMNS.index(column)
        dirty[row][place] = value
        errors.append(Error(row, column, kind, value, clean[row][place]))
        load[row] += 1

    for row in sorted(rng.sample(range(len(clean)), SWAPPED_ROWS)):
        left, right = rng.choice(SWAPS)
        put(row, left, "swapped values", clean[row][COLUMNS.index(right)])
        put(row, right, "swapped values", clean[row][COLUMNS.index(left)])
    for kind, (count, operators) in KINDS.items():
        for _ in range(count):
            row, column = _free_cell(kind, clean, dirty, load, rng)
            value = clean[row][COLUMNS.index(column)]
            wrong = operators[column](value, rng)
            if wrong != value:
                put(row, column, kind, wrong)
    return dirty, sorted(errors, key=lambda error: (error.row, COLUMNS.index(error.column)))


def _free_cell(
    kind: str, clean: Sequence[Row], dirty: Sequence[Row], load: Sequence[int], rng: random.Random
) -> tuple[int, str]:
    """A cell that holds a value, is still right, and stands in a row with at most one error."""
    while True:
        row, column = rng.randrange(len(clean)), rng.choice(list(KINDS[kind][1]))
        value = clean[row][COLUMNS.index(column)]
        usable = bool(value) and (kind != "lost zero" or value.startswith("0"))
        if usable and load[row] < 2 and dirty[row][COLUMNS.index(column)] == value:
            return row, column


def to_csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    """RFC 4180 with line feeds: quotes where a field needs them, doubled inside."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8")


def make_files() -> dict[str, bytes]:
    """The three files by name."""
    rng = random.Random(SEED)
    clean = make_clean(rng)
    dirty, errors = make_dirty(clean, rng)
    listed = [(error.row, error.column, error.kind, error.dirty, error.clean) for error in errors]
    return {
        "clinics_clean.csv": to_csv(COLUMNS, clean),
        "clinics_dirty.csv": to_csv(COLUMNS, dirty),
        "clinics_errors.csv": to_csv(("row", "column", "kind", "dirty", "clean"), listed),
    }


def main(argv: Sequence[str]) -> int:
    """Write the files; gives 0."""
    folder = Path(argv[0]) if argv else Path(__file__).parent
    for name, content in make_files().items():
        (folder / name).write_bytes(content)
        print(f"{folder / name}: {len(content)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

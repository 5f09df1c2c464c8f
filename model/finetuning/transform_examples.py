"""Transformations by example, made from tables: what the decoder's `transform` query learns from.

An episode draws a program of the kinds that people want (parts of a text, reordering, case, initials, numbers, dates,
times, phone numbers, addresses of the web, known abbreviations), applies it to real values of one window, and asks for
the output of one input with up to five others as examples in context. The inputs are values of one attribute, or of two
or three put together.
"""

from __future__ import annotations

import datetime
import random
import re
from collections.abc import Callable, Sequence

import numpy as np

from model.config import TrainingConfig
from model.corpus import Table
from model.dataset import Query, TrainingExample, table_weights
from model.inference.moments import DAYS, MONTHS
from model.inference.transformation import INPUT, OUTPUT, SHOWN
from model.serialization import Mask, TupleSerializer

Program = Callable[[str], str | None]
"""Output of an input; None where it does not apply."""

_ROWS = 24
_FEWEST = 3
_TRIES = 12
_LONGEST = 120
_JOINTS = (", ", " ", " - ", "-", "_", "|", "/", "; ", ": ", ".", " | ", ",")
_WORD = re.compile(r"[^\W_]+")
_DIGITS = re.compile(r"\d+")

DATE_FORMATS = ("%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d %b %Y", "%B %d, %Y", "%b %d, %Y", "%d-%b-%y",
                "%Y%m%d", "%m-%d-%Y", "%d %B %Y", "%Y/%m/%d", "%A, %B %d, %Y", "%y%m%d")  # fmt: skip
DATE_PARTS = ("%Y", "%m", "%d", "%B", "%b", "%A", "%a", "%Y-%m", "%m/%Y", "%b %Y", "%y")
TIME_FORMATS = ("%H:%M", "%I:%M %p", "%H:%M:%S", "%I:%M:%S %p", "%H%M", "%H.%M", "%I%p")


class TransformFactory:
    """Draws transformations from corpus tables."""

    def __init__(self, tables: Sequence[Table], serializer: TupleSerializer, training: TrainingConfig) -> None:
        self.tables = [table for table in tables if len(table) >= 2 * _FEWEST]
        self.serializer = serializer
        self.training = training
        self._cumulative = np.cumsum(table_weights(self.tables))

    def examples(self, rng: random.Random) -> list[TrainingExample]:
        """Some transformations, one or two targets of each."""
        made: list[TrainingExample] = []
        wanted = self.training.examples_per_episode
        for _ in range(8 * wanted):
            if len(made) >= wanted:
                break
            pairs = self.pairs(rng)
            if pairs is not None:
                made += self._examples(pairs, rng)
        return made[:wanted]

    def pairs(self, rng: random.Random) -> list[tuple[str, str]] | None:
        """Inputs with the outputs of one program; None where nothing that was drawn applies."""
        for _ in range(_TRIES):
            inputs, program = self._draw(rng)
            pairs: dict[str, str] = {}
            for text in inputs:
                output = program(text) if 0 < len(text) <= _LONGEST else None
                if output is not None and 0 < len(output) <= _LONGEST:
                    pairs[text] = output
            if len(pairs) >= _FEWEST and (len(set(pairs.values())) > 1 or len(pairs) > 2 * _FEWEST):
                return list(pairs.items())
        return None

    def _draw(self, rng: random.Random) -> tuple[list[str], Program]:
        """Some inputs and a program that may apply to them."""
        if rng.random() < 0.3:
            maker = rng.choice(INVENTED)
            inputs, program = maker(rng)
            return inputs, _finished(program, rng)
        point = rng.random() * self._cumulative[-1]
        table = self.tables[min(int(np.searchsorted(self._cumulative, point)), len(self.tables) - 1)]
        rows = rng.sample(range(len(table)), min(len(table), _ROWS))
        width = len(table.attributes)
        several = rng.random() < 0.45 and width > 1
        chosen = rng.sample(range(width), min(width, rng.choice((2, 2, 3)) if several else 1))
        part = table.part(sorted(rows), chosen)
        records = [[value.strip() for value in row if value] for row in part.tuples]
        full = [row for row in records if len(row) == len(chosen) and all(row)]
        if several:
            joint = rng.choice(_JOINTS)
            full = [row for row in full if not any(joint in value for value in row)]
            return [joint.join(row) for row in full], _finished(_of_parts(joint, len(chosen), rng), rng)
        return [row[0] for row in full], _finished(rng.choice(SIMPLE)(rng), rng)

    def _examples(self, pairs: Sequence[tuple[str, str]], rng: random.Random) -> list[TrainingExample]:
        shuffled = rng.sample(list(pairs), min(len(pairs), SHOWN + 2))
        asked, known = shuffled[:2], shuffled[2:]
        made = []
        for target in asked[: 1 if len(shuffled) == _FEWEST else 2]:
            behind = known[: rng.randint(1, SHOWN)]
            columns = rng.sample(range(1, self.serializer.config.max_attributes + 1), 2)
            answer = self.serializer.answer_ids(target[1])
            encoded = self.serializer.serialize((INPUT, OUTPUT), (target[0], Mask()), behind, columns)
            if answer is not None and len(encoded) <= self.training.max_tokens:
                made.append(TrainingExample(encoded, queries=(Query("transform", columns[1], tuple(answer)),)))
        return made


def _finished(program: Program, rng: random.Random) -> Program:
    """The program, now and then with another case or something fixed put around its output."""
    draw = rng.random()
    if draw < 0.12:
        case = rng.choice((str.upper, str.lower, str.title, str.capitalize))
        return lambda text: None if (output := program(text)) is None else case(output)
    if draw < 0.22:
        before, after = rng.choice(
            (
                ("(", ")"),
                ("", "."),
                ("ID-", ""),
                ("#", ""),
                ("'", "'"),
                ("", " units"),
                ("<", ">"),
                ("No. ", ""),
                ("$", ""),
            )
        )
        return lambda text: None if (output := program(text)) is None else f"{before}{output}{after}"
    return program


# ------------------------------------------------------------------------------- programs over any text


def _words(text: str) -> list[str]:
    return _WORD.findall(text)


def _of_parts(joint: str, count: int, rng: random.Random) -> Program:
    """Of a text of several parts: one, some in another order, or with other joints."""
    order = rng.sample(range(count), rng.randint(1, count))
    other = rng.choice(_JOINTS)
    shorten = rng.random() < 0.2

    def program(text: str) -> str | None:
        parts = text.split(joint)
        if len(parts) != count:
            return None
        chosen = [parts[place].strip() for place in order]
        if shorten:
            chosen[0] = chosen[0][:1]
        return other.join(chosen)

    return program


def _a_word(rng: random.Random) -> Program:
    place = rng.choice((0, 0, 1, 2, -1, -1, -2))

    def program(text: str) -> str | None:
        found = _words(text)
        return found[place] if len(found) > max(1, place) and -place <= len(found) else None

    return program


def _some_words(rng: random.Random) -> Program:
    start = rng.choice((0, 0, 1))
    count = rng.choice((2, 2, 3, None))

    def program(text: str) -> str | None:
        found = text.split(" ")
        return " ".join(found[start : None if count is None else start + count]) if len(found) > start + 1 else None

    return program


def _around_a_mark(rng: random.Random) -> Program:
    mark = rng.choice((",", "-", " ", "(", "/", ":", ".", "_", "@", "|"))
    after, last = rng.random() < 0.5, rng.random() < 0.3

    def program(text: str) -> str | None:
        if mark not in text:
            return None
        head, _, tail = text.rpartition(mark) if last else text.partition(mark)
        return (tail if after else head).strip() or None

    return program


def _characters(rng: random.Random) -> Program:
    count, from_end = rng.randint(1, 6), rng.random() < 0.4
    return lambda text: None if len(text) <= count else text[-count:] if from_end else text[:count]


def _case(rng: random.Random) -> Program:
    case = rng.choice((str.upper, str.lower, str.title, str.capitalize, str.swapcase))
    return lambda text: case(text)


def _initials(rng: random.Random) -> Program:
    dot, gap = rng.choice((("", ""), (".", ""), (".", " ")))
    upper = rng.random() < 0.7

    def program(text: str) -> str | None:
        found = [word for word in _words(text) if word[0].isalpha()]
        if not 2 <= len(found) <= 6:
            return None
        joined = gap.join(word[0] + dot for word in found)
        return joined.upper() if upper else joined

    return program


def _name_forms(rng: random.Random) -> Program:
    form = rng.choice(
        ("{1}, {0}", "{0[0]}. {1}", "{1}, {0[0]}.", "{1} {0}", "{0} {1[0]}.", "{0}.{1}", "{0[0]}{1}", "{1}")
    )
    lower = rng.random() < 0.25

    def program(text: str) -> str | None:
        found = text.split()
        if not 2 <= len(found) <= 3 or not all(word[0].isalpha() for word in found):
            return None
        output = form.format(found[0], found[-1])
        return output.lower() if lower else output

    return program


def _without(rng: random.Random) -> Program:
    what = rng.choice(
        (r"\s+", r"[-–]", r"[^\w\s]", r"\d+", r"[^\d]", r"\s*\([^)]*\)", r"[aeiouAEIOU]", r"^\W+|\W+$", r"[A-Za-z]+")
    )
    pattern = re.compile(what)

    def program(text: str) -> str | None:
        output = pattern.sub("", text)
        return output.strip() if output != text else None

    return program


def _exchanged(rng: random.Random) -> Program:
    old = rng.choice((" ", "-", ",", ".", "/", "_", ":"))
    new = rng.choice([mark for mark in (" ", "-", "_", "/", ".", ", ", "") if mark != old])
    return lambda text: text.replace(old, new) if old in text.strip() else None


def _in_brackets(rng: random.Random) -> Program:
    pattern = re.compile(rng.choice((r"\(([^)]+)\)", r"\[([^\]]+)\]", r"\"([^\"]+)\"")))
    return lambda text: found.group(1) if (found := pattern.search(text)) else None


def _a_number(rng: random.Random) -> Program:
    last, cents = rng.random() < 0.3, rng.random() < 0.5
    pattern = re.compile(r"\d+(?:[.,]\d+)*" if cents else r"\d+")

    def program(text: str) -> str | None:
        found = pattern.findall(text)
        return (found[-1] if last else found[0]) if found and found[0] != text else None

    return program


def _number_forms(rng: random.Random) -> Program:
    kind = rng.choice(("pad", "thousands", "round", "strip", "integer", "percent", "money"))
    width, digits = rng.randint(3, 8), rng.randint(0, 2)

    def program(text: str) -> str | None:
        bare = text.replace(",", "").strip("$€£% ")
        if not re.fullmatch(r"-?\d{1,9}(\.\d{1,8})?", bare):
            return None
        if kind == "pad":
            return bare.zfill(width) if "." not in bare and len(bare) < width else None
        if kind == "strip":
            return bare.lstrip("0") or None
        number = float(bare)
        if kind == "thousands":
            return f"{int(number):,}" if number == int(number) and abs(number) >= 1000 else None
        if kind == "integer":
            return bare.partition(".")[0] if "." in bare else None
        if kind == "percent":
            return f"{bare}%"
        return f"${number:,.2f}" if kind == "money" else f"{number:.{digits}f}" if "." in bare else None

    return program


def _around(rng: random.Random) -> Program:
    before, after = rng.choice((("Mr. ", ""), ("", ", USA"), ("http://www.", ".com"), ("", "@example.com"), ("_", "_"),
                                ("Dept. of ", ""), ("[", "]"), ("", " Inc."), ("v", ""), ("", "%")))  # fmt: skip
    return lambda text: f"{before}{text}{after}"


SIMPLE: tuple[Callable[[random.Random], Program], ...] = (
    _a_word, _a_word, _some_words, _around_a_mark, _around_a_mark, _around_a_mark, _characters, _case, _initials,
    _name_forms, _name_forms, _without, _without, _exchanged, _in_brackets, _a_number, _a_number, _number_forms,
    _number_forms, _around,
)  # fmt: skip
"""Programs over the values of one attribute."""

# ------------------------------------------------------------------ programs over values that are made up


def _dates(rng: random.Random) -> tuple[list[str], Program]:
    start = datetime.date(rng.randint(1900, 2030), 1, 1)
    dates = [start + datetime.timedelta(days=rng.randrange(4000)) for _ in range(12)]
    given = rng.choice(DATE_FORMATS[:12])
    wanted = rng.choice([form for form in (*DATE_FORMATS, *DATE_PARTS) if form != given])
    bare = rng.random() < 0.3
    known = {_date(date, given, bare): _date(date, wanted, False) for date in dates}
    return list(known), known.get


def _date(date: datetime.date, form: str, bare: bool) -> str:
    text = date.strftime(form)
    return re.sub(r"\b0(?=\d)", "", text) if bare and form not in ("%Y%m%d", "%y%m%d") else text


def _times(rng: random.Random) -> tuple[list[str], Program]:
    given, wanted = rng.sample(TIME_FORMATS, 2)
    times = [datetime.time(rng.randrange(24), rng.choice((0, 0, 15, 30, rng.randrange(60)))) for _ in range(12)]
    known = {time.strftime(given): time.strftime(wanted) for time in times}
    return list(known), known.get


def _phones(rng: random.Random) -> tuple[list[str], Program]:
    forms = ("({}) {}-{}", "{}-{}-{}", "{}.{}.{}", "{}{}{}", "{} {} {}", "+1 {} {} {}", "1-{}-{}-{}", "{}/{}-{}", "{}")
    given, wanted = rng.sample(forms, 2) if rng.random() < 0.8 else (rng.choice(forms[:8]), forms[8])
    if given == "{}":
        given, wanted = wanted, given
    known = {}
    for _ in range(10):
        parts = [str(rng.randint(200, 999)), str(rng.randint(100, 999)), str(rng.randrange(10_000)).zfill(4)]
        known[given.format(*parts)] = wanted.format(*parts)
    return list(known), known.get


_NAMES = (
    "john",
    "mary",
    "anna",
    "wei",
    "carlos",
    "fatima",
    "peter",
    "olga",
    "raj",
    "emma",
    "lucas",
    "nina",
    "ivan",
    "sofia",
)
_SURNAMES = ("smith", "garcia", "chen", "mueller", "kowalski", "okafor", "silva", "brown", "tanaka", "rossi", "novak")
_DOMAINS = ("example.com", "mail.org", "uni-berlin.de", "shop.co.uk", "data.io", "acme.net", "gov.br", "news.fr")


def _addresses(rng: random.Random) -> tuple[list[str], Program]:
    """E-mail and web addresses, and paths of files."""
    kind = rng.choice(("mail", "web", "file"))
    which = rng.randrange(3)
    known = {}
    for _ in range(10):
        name, surname, domain = rng.choice(_NAMES), rng.choice(_SURNAMES), rng.choice(_DOMAINS)
        if kind == "mail":
            known[f"{name}.{surname}@{domain}"] = (f"{name}.{surname}", domain, f"{name.title()} {surname.title()}")[
                which
            ]
        elif kind == "web":
            path, number = rng.choice(_SURNAMES), rng.randrange(1000)
            known[f"https://www.{domain}/{path}/{number}.html"] = (domain, f"{number}", path)[which]
        else:
            end = rng.choice(("csv", "txt", "pdf", "xlsx", "json"))
            known[f"/home/{name}/{surname}_{rng.randrange(100)}.{end}"] = (end, name, surname)[which]
    return list(known), known.get


def _people(rng: random.Random) -> tuple[list[str], Program]:
    """Names of people with titles and middle names."""
    title = rng.choice(("", "", "Dr. ", "Mr. ", "Ms. ", "Prof. "))
    middle = rng.random() < 0.4
    form = rng.choice(
        ("{last}, {first}", "{first} {last}", "{f}. {last}", "{last}", "{first}", "{f}{l}", "{f}.{l}.", "{last} {f}")
    )
    turned = not title and rng.random() < 0.3
    known = {}
    for _ in range(12):
        first, last = rng.choice(_NAMES).title(), rng.choice(_SURNAMES).title()
        inner = f" {rng.choice('ABCDEFGHJKLMNPRST')}." if middle else ""
        given = f"{last}, {first}{inner}" if turned else f"{title}{first}{inner} {last}"
        known[given] = form.format(first=first, last=last, f=first[0], l=last[0])
    return list(known), known.get


_STATES = {"California": "CA", "Texas": "TX", "New York": "NY", "Florida": "FL", "Ohio": "OH", "Illinois": "IL",
           "Washington": "WA", "Georgia": "GA", "Virginia": "VA", "Arizona": "AZ", "Oregon": "OR", "Nevada": "NV",
           "Colorado": "CO", "Michigan": "MI", "Alabama": "AL", "Utah": "UT"}  # fmt: skip
_COUNTRIES = {"Germany": "DE", "France": "FR", "Italy": "IT", "Spain": "ES", "Japan": "JP", "China": "CN",
              "Brazil": "BR", "India": "IN", "Canada": "CA", "Mexico": "MX", "Poland": "PL", "Norway": "NO",
              "Sweden": "SE", "Egypt": "EG", "Kenya": "KE", "Chile": "CL"}  # fmt: skip


def _known_names(rng: random.Random) -> tuple[list[str], Program]:
    """Months, days, states and countries with their numbers and abbreviations."""
    tables = (
        {name: name[:3] for name in MONTHS}, {name: str(number) for number, name in enumerate(MONTHS, 1)},
        {name[:3]: f"{number:02d}" for number, name in enumerate(MONTHS, 1)}, {name: name[:3] for name in DAYS},
        _STATES, _COUNTRIES,
    )  # fmt: skip
    table = rng.choice(tables)
    if rng.random() < 0.4 and len(set(table.values())) == len(table):
        table = {short: name for name, short in table.items()}
    names = rng.sample(sorted(table), min(len(table), 9))
    return names, table.get


_UNITS = ("kg", "g", "lb", "oz", "ml", "cm", "mm", "inch", "GB", "MB", "km", "miles", "mph", "W", "V", "Hz")


def _units(rng: random.Random) -> tuple[list[str], Program]:
    """Numbers with units: apart, together, exchanged, or without."""
    unit, other = rng.sample(_UNITS, 2)
    gap = rng.choice(("", " "))
    form = rng.choice(("{0}", "{0}{1}", "{0} {1}", "{0}-{1}", "{1}", "{0} {2}"))
    numbers = [rng.choice((str(rng.randint(1, 999)), f"{rng.uniform(0.1, 99):.1f}")) for _ in range(10)]
    known = {f"{number}{gap}{unit}": form.format(number, unit, other) for number in numbers}
    return list(known), known.get


INVENTED: tuple[Callable[[random.Random], tuple[list[str], Program]], ...] = (
    _dates, _dates, _dates, _times, _phones, _addresses, _addresses, _people, _people, _known_names, _units,
)  # fmt: skip
"""Inputs that are made up, with a program for them."""

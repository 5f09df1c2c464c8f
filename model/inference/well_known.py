"""Names that are known without examples: months, weekdays, states of the USA, countries, numbers in words.

Each table is from a name in lower case to what else it is called.
"""

from __future__ import annotations

from collections.abc import Mapping

from model.inference.moments import DAYS, MONTHS

_STATES = """Alabama AL,Alaska AK,Arizona AZ,Arkansas AR,California CA,Colorado CO,Connecticut CT,Delaware DE,
Florida FL,Georgia GA,Hawaii HI,Idaho ID,Illinois IL,Indiana IN,Iowa IA,Kansas KS,Kentucky KY,Louisiana LA,Maine ME,
Maryland MD,Massachusetts MA,Michigan MI,Minnesota MN,Mississippi MS,Missouri MO,Montana MT,Nebraska NE,Nevada NV,
New Hampshire NH,New Jersey NJ,New Mexico NM,New York NY,North Carolina NC,North Dakota ND,Ohio OH,Oklahoma OK,
Oregon OR,Pennsylvania PA,
Rhode Island RI,South Carolina SC,South Dakota SD,Tennessee TN,Texas TX,Utah UT,Vermont VT,Virginia VA,Washington WA,
West Virginia WV,Wisconsin WI,Wyoming WY,District of Columbia DC"""

_COUNTRIES = """Afghanistan AF AFG,Albania AL ALB,Algeria DZ DZA,Argentina AR ARG,Armenia AM ARM,Australia AU AUS,
Austria AT AUT,Azerbaijan AZ AZE,Bahrain BH BHR,Bangladesh BD BGD,Belarus BY BLR,Belgium BE BEL,Bolivia BO BOL,
Bosnia and Herzegovina BA BIH,Botswana BW BWA,Brazil BR BRA,Bulgaria BG BGR,Cambodia KH KHM,Cameroon CM CMR,
Canada CA CAN,Chile CL CHL,China CN CHN,Colombia CO COL,Costa Rica CR CRI,Croatia HR HRV,Cuba CU CUB,Cyprus CY CYP,
Czech Republic CZ CZE,Denmark DK DNK,Dominican Republic DO DOM,Ecuador EC ECU,Egypt EG EGY,El Salvador SV SLV,
Estonia EE EST,Ethiopia ET ETH,Finland FI FIN,France FR FRA,Georgia GE GEO,Germany DE DEU,Ghana GH GHA,Greece GR GRC,
Guatemala GT GTM,Haiti HT HTI,Honduras HN HND,Hong Kong HK HKG,Hungary HU HUN,Iceland IS ISL,India IN IND,
Indonesia ID IDN,Iran IR IRN,Iraq IQ IRQ,Ireland IE IRL,Israel IL ISR,Italy IT ITA,Jamaica JM JAM,Japan JP JPN,
Jordan JO JOR,Kazakhstan KZ KAZ,Kenya KE KEN,Kuwait KW KWT,Latvia LV LVA,Lebanon LB LBN,Libya LY LBY,Lithuania LT LTU,
Luxembourg LU LUX,Malaysia MY MYS,Malta MT MLT,Mexico MX MEX,Moldova MD MDA,Mongolia MN MNG,Morocco MA MAR,
Mozambique MZ MOZ,Myanmar MM MMR,Nepal NP NPL,Netherlands NL NLD,New Zealand NZ NZL,Nicaragua NI NIC,Nigeria NG NGA,
North Korea KP PRK,Norway NO NOR,Oman OM OMN,Pakistan PK PAK,Panama PA PAN,Paraguay PY PRY,Peru PE PER,
Philippines PH PHL,Poland PL POL,Portugal PT PRT,Qatar QA QAT,Romania RO ROU,Russia RU RUS,Saudi Arabia SA SAU,
Senegal SN SEN,Serbia RS SRB,Singapore SG SGP,Slovakia SK SVK,Slovenia SI SVN,South Africa ZA ZAF,South Korea KR KOR,
Spain ES ESP,Sri Lanka LK LKA,Sudan SD SDN,Sweden SE SWE,Switzerland CH CHE,Syria SY SYR,Taiwan TW TWN,
Tanzania TZ TZA,Thailand TH THA,Tunisia TN TUN,Turkey TR TUR,Uganda UG UGA,Ukraine UA UKR,
United Arab Emirates AE ARE,United Kingdom GB GBR,United States US USA,Uruguay UY URY,Uzbekistan UZ UZB,
Venezuela VE VEN,Vietnam VN VNM,Yemen YE YEM,Zambia ZM ZMB,Zimbabwe ZW ZWE"""

_WORDS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
          "seventeen eighteen nineteen twenty").split()  # fmt: skip
_ORDINALS = ("zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth").split()
_ROMAN = ((10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))


def _rows(text: str, codes: int) -> list[tuple[str, ...]]:
    return [tuple(entry.strip().rsplit(" ", codes)) for entry in text.replace("\n", "").split(",")]


def _both(name: str, short: str, pairs: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """A table each way."""
    there = {full.lower(): code for full, code in pairs.items()}
    back = {code.lower(): full for full, code in pairs.items()}
    return {short: there, name: back}


def _roman(number: int) -> str:
    made = ""
    for value, letters in _ROMAN:
        while number >= value:
            made, number = made + letters, number - value
    return made


_STATE_ROWS = _rows(_STATES, 1)
_COUNTRY_ROWS = _rows(_COUNTRIES, 2)
_MONTH_NUMBERS = {name: str(number) for number, name in enumerate(MONTHS, 1)}

EQUIVALENTS: dict[str, dict[str, str]] = {
    **_both("state", "code of the state", dict((name, code) for name, code in _STATE_ROWS)),
    **_both("country", "two-letter code of the country", {row[0]: row[1] for row in _COUNTRY_ROWS}),
    **_both("country by three letters", "three-letter code of the country", {row[0]: row[2] for row in _COUNTRY_ROWS}),
    **_both("month by its number", "number of the month", _MONTH_NUMBERS),
    **_both("month", "short name of the month", {name: name[:3] for name in MONTHS}),
    **_both("weekday", "short name of the weekday", {name: name[:3] for name in DAYS}),
    **_both("number in words", "number in digits", {word: str(number) for number, word in enumerate(_WORDS)}),
    **_both("ordinal in words", "ordinal in digits", {word: str(number) for number, word in enumerate(_ORDINALS)}),
    **_both("Roman number", "number of the Roman one", {_roman(number): str(number) for number in range(1, 40)}),
    "number of the short month": {name[:3].lower(): str(number) for number, name in enumerate(MONTHS, 1)},
    "two-digit number of the month": {
        written.lower(): f"{number:02d}" for number, name in enumerate(MONTHS, 1) for written in (name, name[:3])
    },
    "short month by its number": {
        written: name[:3] for number, name in enumerate(MONTHS, 1) for written in {str(number), f"{number:02d}"}
    },
}
"""What a name in lower case is called otherwise, by the kind of name that is wanted."""

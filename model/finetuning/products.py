"""Invented products: tuples of made-up goods in the words that trade uses, for texts to be made from.

Open tables hold few product titles, and what people extract from is often one. A product has the attributes of its
kind with values from common vocabulary (materials, colors, sizes, units …); brands, series and codes are invented.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from model.tuples import Relation

_KINDS = {
    "clothing": "T-Shirt|Jacket|Coat|Dress|Skirt|Jeans|Pants|Leggings|Shorts|Hoodie|Sweater|Vest|Shirt|Blouse|Socks"
    "|Gloves|Scarf|Hat|Cap|Beanie|Pajamas|Underwear|Bra|Swimwear|Bikini|Swimming Trunks|Tracksuit|Suit|Tights"
    "|Jersey Top",
    "shoes": "Sneakers|Boots|Sandals|Slippers|Running Shoes|Hiking Boots|Loafers|Heels|Flats|Football Boots|Clogs",
    "accessories": "Sunglasses|Glasses|Goggles|Watch|Belt|Wallet|Backpack|Handbag|Ring|Necklace|Bracelet"
    "|Earrings|Umbrella",
    "sports": "Bicycle|Helmet|Tennis Racket|Football|Golf Club|Yoga Mat|Dumbbell|Fishing Rod|Fishing Reel|Tent"
    "|Sleeping Bag"
    "|Skateboard|Skis|Snowboard|Kayak|Paddle|Jump Rope|Knee Pads|Camping Stove|Lantern|Float|Bait|Hook Set|Dart Board",
    "electronics": "Laptop|Smartphone|Tablet|Monitor|Keyboard|Mouse|Headphones|Speaker|Camera|Printer|Router|Charger"
    "|Power Bank|Cable|SSD|Memory Card|Graphics Card|Television|Projector|Microphone|Drone|Smart Watch",
    "kitchen": "Frying Pan|Kettle|Toaster|Blender|Knife|Cutting Board|Mug|Plate|Bowl|Coffee Maker|Teapot"
    "|Lunch Box|Bottle"
    "|Mixer|Rice Cooker|Grill|Spoon Set|Food Container|Thermos",
    "furniture": "Chair|Desk|Table|Sofa|Bed Frame|Bookshelf|Cabinet|Lamp|Mirror|Curtain|Rug|Pillow|Mattress"
    "|Blanket|Stool",
    "tools": "Drill|Hammer|Screwdriver|Saw|Wrench|Ladder|Tape Measure|Sander|Pliers|Flashlight|Tool Box|Hose"
    "|Pump|Shovel",
    "toys": "Puzzle|Doll|Building Blocks|Board Game|Plush Bear|Toy Car|Train Set|Kite|Action Figure|Balance Bike",
    "beauty": "Shampoo|Lipstick|Face Cream|Perfume|Nail Polish|Hair Dryer|Razor|Soap|Sunscreen|Body Lotion|Toothbrush",
    "instruments": "Guitar|Bass|Ukulele|Violin|Drum Set|Piano|Flute|Trumpet|Saxophone|Harmonica|Cello|Amplifier",
    "cars": "Tire|Brake Pads|Car Seat|Floor Mat|Wiper Blade|Headlight|Oil Filter|Battery|Roof Rack|Phone Holder",
    "pets": "Dog Collar|Cat Tree|Dog Bed|Leash|Aquarium|Bird Cage|Cat Litter Box|Pet Carrier|Chew Toy",
}  # fmt: skip
_WORDS = {
    "material": "Cotton|Wool|Silk|Linen|Polyester|Nylon|Leather|PU Leather|Denim|Fleece|Velvet|Mesh|Lycra"
    "|Spandex|Canvas"
    "|Steel|Stainless Steel|Carbon Steel|Aluminum|Aluminium Alloy|Alloy|Titanium|Brass|Copper|Iron|Zinc|Metal"
    "|Plastic|ABS"
    "|PVC|EVA|PC|TPU|Silicone|Rubber|Latex|Resin|Carbon Fiber|Carbon|Fiberglass|Glass|Ceramic|Porcelain|Wood|Bamboo|Oak"
    "|Pine|Walnut|Maple|Mahogany|Rosewood|Ebony|Spruce|Birch|Foam|Paper|Cork|Marble|Gold|Silver|Acrylic|Neoprene|Felt",
    "color": "Black|White|Red|Blue|Green|Yellow|Orange|Purple|Pink|Brown|Grey|Gray|Beige|Navy|Navy Blue"
    "|Dark Green|Khaki"
    "|Silver|Gold|Rose Gold|Ivory|Turquoise|Burgundy|Light Blue|Army Green|Camouflage|Multicolor|Transparent"
    "|Coral|Teal",
    "gender": "Men|Women|Unisex|Boys|Girls|Kids|Children|Male|Female|Ladies|Mens|Womens|Man|Woman|Baby|Adult"
    "|Youth|Toddler",
    "age": "Adult|Adults|Kids|Children|Child|Baby|Toddler|Teens|Youth|Infant|Senior|Junior",
    "season": "Summer|Winter|Spring|Autumn|Fall|Spring Autumn|All Season|Four Seasons|Winter Warm",
    "pattern": "Solid|Striped|Floral|Plaid|Print|Printed|Polka Dot|Geometric|Animal|Leopard|Cartoon|Letter|Camo|Plain"
    "|Patchwork|Checkered|Paisley|Tie Dye|Embroidered",
    "style": "Casual|Vintage|Modern|Classic|Retro|Sexy|Formal|Elegant|Bohemian|Street|Fashion|Punk|Minimalist|Sporty"
    "|Business|Preppy|Rustic|Industrial|Cute|Luxury|Military",
    "feature": "Waterproof|Breathable|Foldable|Portable|Adjustable|Windproof|Anti-slip|Non-Slip|Rechargeable|Wireless"
    "|Lightweight|Quick Dry|Quick-Drying|Wear-Resistant|Shockproof|UV Protection|Noise Cancelling|Dustproof|Elastic"
    "|Reusable|Anti-Fog|Insulated|Heat Resistant|Magnetic|Double Sided|Detachable|Thermal|Soft|Reflective",
    "sport": "Running|Cycling|Swimming|Football|Soccer|Basketball|Tennis|Golf|Yoga|Hiking|Camping|Climbing"
    "|Skiing|Skating"
    "|Fishing|Boxing|Baseball|Volleyball|Badminton|Surfing|Diving|Hunting|Gym|Fitness|Ice Hockey|Table Tennis|Riding"
    "|Rugby|Dance|Rowing|Motorcycle|Snowboarding|Training",
    "sleeve": "Short Sleeve|Long Sleeve|Sleeveless|Half Sleeve|3/4 Sleeve|Short|Long|Full",
    "neck": "V-Neck|Crew Neck|O-Neck|Turtleneck|Hooded|Polo|Round Neck|Stand Collar|Halter",
    "fit": "Slim|Regular|Loose|Oversized|Skinny|Relaxed|Slim Fit|Regular Fit",
    "waist": "High Waist|Low Waist|Mid Waist|High|Low|Elastic Waist",
    "closure": "Zipper|Button|Buckle|Lace-Up|Hook and Loop|Drawstring|Slip-On|Snap",
    "lens": "Polarized|Mirror|Photochromic|Gradient|UV400|Anti-Reflective|Clear|Tinted",
    "power source": "Battery|Electric|USB|Solar|Gas|Petrol|Manual|Rechargeable Battery|Butane|Propane|Charcoal|Alcohol",
    "connection": "Bluetooth|WiFi|USB-C|HDMI|Wired|Wireless|Ethernet|USB 3.0|Type-C|Lightning",
    "condition": "New|Used|Refurbished|Brand New|Original|Open Box",
    "origin": "China|Germany|Italy|Japan|USA|Korea|Vietnam|India|France|UK|Portugal",
    "hardness": "Soft|Hard|Medium|Extra Hard|Firm|Stiff|Super Soft|Heavy|Light|Medium Heavy|ML|MH|UL",
    "occasion": "Wedding|Party|Office|Travel|Beach|Birthday|Outdoor|Indoor|Christmas|School|Everyday|Evening",
    "shape": "Round|Square|Oval|Rectangular|Triangle|Heart|Cat Eye|Curved|Flat|Pilot|Hexagon",
    "skin": "Dry|Oily|Sensitive|Normal|All Skin Types|Combination",
    "scent": "Lavender|Vanilla|Rose|Lemon|Mint|Ocean|Coconut|Unscented|Jasmine",
    "finish": "Matte|Glossy|Polished|Brushed|Satin|Chrome|Natural|Painted|Sunburst",
    "memory": "4GB|8GB|16GB|32GB|64GB|128GB|256GB|512GB|1TB|2TB|8 GB|16 GB",
}  # fmt: skip
_NAMES = {
    "brand": "brand|brand name|manufacturer|make|producer|label",
    "series": "series|product line|collection|model|model name",
    "code": "model number|model|model no|part number|mpn|sku|item number|article number|product code|model code",
    "type": "type|product type|category|item|item type|product|kind|name|product name|description",
    "material": "material|main material|made of|fabric|fabric type|composition|material type",
    "color": "color|colour|main color|color name",
    "gender": "gender|target gender|audience|suitable for|department|for whom|target group|intended for|user",
    "age": "age group|age range|target age|department|suitable age|user age",
    "sleeve": "sleeve|sleeve length|sleeve type",
    "neck": "neckline|collar|neck style",
    "feature": "feature|features|special feature|function|property",
    "sport": "sport|sports|activity|sport type|use|recommended use",
    "lens": "lens type|lens coating|lens feature|lens technology|optical property",
    "power source": "power source|fuel|fuel type|energy|powered by|heat source",
    "connection": "connectivity|interface|connection|connector",
    "waist": "waist type|rise",
    "closure": "closure|closure type|fastening",
    "hardness": "hardness|firmness|stiffness|power|action",
    "origin": "country of origin|origin|made in|place of origin",
    "shape": "shape|frame shape|form",
    "finish": "finish|surface|surface finish|coating",
    "memory": "memory|storage|memory size|capacity|ram",
    "skin": "skin type",
}
_MEASURES = {
    "weight": "g|kg|oz|lb|lbs|G|KG",
    "length": "cm|mm|m|inch|in|ft|CM",
    "width": "cm|mm|inch|m",
    "height": "cm|mm|inch|m",
    "diameter": "mm|cm|inch",
    "size": "cm|mm|inch|L|XL|M|S|inches",
    "depth": "m|cm|mm",
    "capacity": "ml|L|mAh|GB|l|oz",
    "power": "W|kW|HP|watts",
    "voltage": "V|volt",
    "screen size": 'inch|"|-inch',
    "speed": "rpm|km/h|mph",
    "frequency": "Hz|GHz|MHz",
    "quantity": "pcs|pcs/lot|pieces|pack|pairs|PCS|-pack|pc|sets",
    "resolution": "MP|p|K",
    "number of speeds": "-speed|speed|gears",
    "number of strings": "string|strings|-string",
    "number of sections": "section|sections|-section",
    "line strength": "lb|lbs|kg",
    "age range": "years|months|+ years|y",
    "head size": "cm|-60cm|CM",
    "number of pieces": "piece|pieces|pcs",
    "number of layers": "layer|layers|-layer",
    "number of persons": "person|persons|people|-person",
}
_PARTS = (
    "frame", "body", "handle", "strap", "lens", "sole", "upper", "lining", "blade", "case", "shell", "back", "top",
    "seat", "neck", "band", "cover", "base", "wheel", "head", "grip", "side", "leg", "fingerboard", "bridge",
)  # fmt: skip
_OF_KIND = {
    "clothing": "gender age material color season pattern style sleeve neck fit waist feature sport closure occasion",
    "shoes": "gender age material color season style closure feature sport occasion",
    "accessories": "gender age material color style shape lens feature sport pattern finish",
    "sports": "gender age material color sport feature hardness power source season shape",
    "electronics": "color connection power source feature memory condition origin",
    "kitchen": "material color shape finish feature power source origin",
    "furniture": "material color shape finish style pattern feature",
    "tools": "material power source feature color hardness condition",
    "toys": "age gender material color power source feature",
    "beauty": "skin scent gender color origin finish age",
    "instruments": "material color finish shape origin condition age hardness",
    "cars": "material color origin condition feature season",
    "pets": "material color feature shape pattern season",
}
_SYLLABLES = (
    "ka", "ro", "zen", "vi", "to", "mar", "li", "nex", "sun", "bel", "tra", "xo", "pol", "is", "qua", "ri", "fen",
    "dor", "al", "ma", "jo", "by", "ko", "gra", "wen", "hu", "shi", "ver", "lo", "tek", "ys", "on", "ra", "mi",
)  # fmt: skip
_CASES: tuple[Callable[[str], str], ...] = (str.upper, str.capitalize, str.title, str.upper, str.capitalize)


def invented_products(rng: random.Random, count: int) -> Relation:
    """`count` products of one kind, in the order in which titles name things; None where a product lacks something."""
    kind = rng.choice(list(_KINDS))
    words = [word for word in _attributes_of(kind) if rng.random() < 0.7]
    measures = rng.sample(list(_MEASURES), rng.randint(1, 4))
    parts = rng.sample(_PARTS, rng.choice((0, 0, 1, 2, 3)))
    makers = [_brand(rng) for _ in range(rng.randint(2, count))]
    columns: list[tuple[str, Callable[[], str]]] = [("brand", lambda: rng.choice(makers))]
    if rng.random() < 0.3:
        columns.append(("series", lambda: _brand(rng)))
    columns += [(word, _chooser(rng, _WORDS[word])) for word in rng.sample(words, len(words))]
    columns.append(("type", _chooser(rng, _KINDS[kind])))
    columns += [(f"{part} {rng.choice(('material', 'material', 'color'))}", _of_part(rng, part)) for part in parts]
    columns += [(measure, _measured(rng, measure)) for measure in measures]
    columns.append(("code", lambda: _code(rng)))
    names = [_name(word, rng) for word, _ in columns]
    rates = [rng.choice((0.05, 0.2, 0.5)) for _ in columns]
    rows = [
        [None if rng.random() < rate else make() for (_, make), rate in zip(columns, rates, strict=True)]
        for _ in range(count)
    ]
    return Relation.of(names, rows)


def _attributes_of(kind: str) -> list[str]:
    return [word for word in _WORDS if word in _OF_KIND[kind]]


def _name(word: str, rng: random.Random) -> str:
    chosen = rng.choice(_NAMES[word].split("|")) if word in _NAMES else word
    return chosen.title() if rng.random() < 0.6 else chosen


def _chooser(rng: random.Random, words: str) -> Callable[[], str]:
    known = words.split("|")
    common = rng.sample(known, min(len(known), rng.choice((3, 8, 100))))
    return lambda: rng.choice(common)


def _of_part(rng: random.Random, part: str) -> Callable[[], str]:
    known = _WORDS["material"].split("|")
    after = rng.random() < 0.5
    return lambda: f"{rng.choice(known)} {part.title()}" if after and rng.random() < 0.2 else rng.choice(known)


def _measured(rng: random.Random, measure: str) -> Callable[[], str]:
    unit, gap = rng.choice(_MEASURES[measure].split("|")), " " if rng.random() < 0.3 else ""
    small = "number" in measure or measure in ("quantity", "age range")

    def make() -> str:
        number = str(rng.choice((1, 2, 3, 4, 5, 6, 10, 12, 20))) if small else _number(rng)
        return unit if unit.isupper() and len(unit) <= 2 and measure == "size" else f"{number}{gap}{unit}"

    return make


def _number(rng: random.Random) -> str:
    draw = rng.random()
    if draw < 0.55:
        return str(rng.choice((rng.randint(1, 30), 5 * rng.randint(1, 60), 50 * rng.randint(1, 40))))
    if draw < 0.85:
        return f"{rng.uniform(0.5, 90):.{rng.choice((1, 1, 2))}f}"
    return f"{rng.randint(1, 60)}{rng.choice(('-', '/', 'x', 'X', '~'))}{rng.randint(2, 90)}"


def _brand(rng: random.Random) -> str:
    word = "".join(rng.choice(_SYLLABLES) for _ in range(rng.choice((2, 2, 3))))
    if rng.random() < 0.2:
        word += " " + "".join(rng.choice(_SYLLABLES) for _ in range(2))
    if rng.random() < 0.15:
        word = "".join(rng.choice("BCDFGHJKLMNPQRSTVWXYZ") for _ in range(rng.randint(2, 5)))
    return rng.choice(_CASES)(word)


def _code(rng: random.Random) -> str:
    letters = "".join(rng.choice("ABCDEFGHJKLMNPRSTVWXYZ") for _ in range(rng.randint(1, 3)))
    digits = "".join(rng.choice("0123456789") for _ in range(rng.randint(1, 5)))
    code = f"{letters}{rng.choice(('', '', '-', ' '))}{digits}"
    return code + rng.choice(("", "", "", "A", "B", "-X", " Pro", "W"))

"""What the people, firms, streets and services of the demo are called. All made up."""

from decimal import Decimal
from random import Random
from typing import Final

LENDERS: Final = (
    "Harborline Lending",
    "Quillfeather Home Loans",
    "Bluestem Mortgage Services",
    "Nine Oaks Funding",
    "Copperleaf Lender Services",
    "Tidewater Vale Lending",
    "Larkspur Home Finance",
    "Granite Ferry Mortgage",
    "Old Mill Lending Group",
    "Sunward Title and Loan",
    "Fernhollow Finance",
    "Kestrel Ridge Mortgage",
    "Brightwater Loan Desk",
    "Pinegate Home Lending",
    "Willow & Stone Mortgage",
    "Silverbrook Lender Desk",
)
FIRM_FIRST: Final = (
    "Amberfield",
    "Bramblewood",
    "Cloverdale",
    "Dunmore",
    "Eastlight",
    "Foxglove",
    "Greenlatch",
    "Hollowbrook",
    "Ironbark",
    "Juniper Hill",
    "Kingsferry",
    "Longmeadow",
    "Marrowstone",
    "Northgate",
    "Orchard Lane",
    "Pebblecreek",
    "Quarry Street",
    "Redfern",
    "Stonebridge",
    "Thistledown",
)
FIRM_LAST: Final = (
    "Brokers",
    "Credit Union",
    "Home Loans",
    "Lending",
    "Mortgage",
    "Realty",
    "Savings",
    "Settlement",
    "Title",
)
FIRST_NAMES: Final = (
    "Ada",
    "Ben",
    "Carla",
    "Dev",
    "Elena",
    "Farid",
    "Grace",
    "Hugo",
    "Ines",
    "Jonas",
    "Kira",
    "Luis",
    "Mona",
    "Nils",
    "Olga",
    "Priya",
    "Quinn",
    "Rosa",
    "Sami",
    "Tessa",
    "Uma",
    "Viktor",
    "Wanda",
    "Yusuf",
    "Zoe",
)
LAST_NAMES: Final = (
    "Ashgrove",
    "Birchall",
    "Coldwell-Hart",
    "Dallimore",
    "Elderkin",
    "Fenwright",
    "Goldthread",
    "Hartsease",
    "Ivorstone",
    "Jessamine",
    "Kettlewick",
    "Lindqvale",
    "Merriday",
    "Nettleship",
    "Oakhanger",
    "Pennywell",
    "Quickfall",
    "Rosendahl",
    "Swanmore",
    "Thornbury",
)
TITLES: Final = (
    "President",
    "Owner",
    "Managing Director",
    "Branch Manager",
    "Team Lead",
    "Head of Closing",
    "Loan Officer",
    "Processor",
    "Assistant",
    None,
)
STREETS: Final = ("Alder", "Beacon", "Cedar", "Dock", "Elm", "Fair", "Garden", "Hill", "Lake", "Mill", "Park")
STREET_KINDS: Final = ("Avenue", "Court", "Drive", "Lane", "Road", "Street", "Way")
TOWNS: Final = (
    ("Alderton", "OH", "43999"),
    ("Bellmere", "PA", "15999"),
    ("Crossfield", "TX", "75999"),
    ("Dovebrook", "GA", "30999"),
    ("Elmhaven", "IL", "60999"),
    ("Fairlock", "NC", "27999"),
    ("Greyport", "WA", "98999"),
    ("Hazelburg", "CO", "80999"),
)
SERVICES: Final = (
    ("Full appraisal", Decimal("525.00"), Decimal("400.00"), Decimal("900.00")),
    ("Drive-by appraisal", Decimal("325.00"), Decimal("250.00"), Decimal("500.00")),
    ("Desktop valuation", Decimal("175.00"), Decimal("125.00"), Decimal("300.00")),
    ("Title search", Decimal("210.00"), Decimal("150.00"), Decimal("400.00")),
    ("Flood certificate", Decimal("25.00"), Decimal("15.00"), Decimal("60.00")),
    ("Closing and notary", Decimal("390.00"), Decimal("300.00"), Decimal("650.00")),
)
"""Name, price, lowest and highest price."""

PLATFORM_FEES: Final = (Decimal("0.00"), Decimal("9.50"), Decimal("15.00"))


def firm(rng: Random) -> str:
    return f"{rng.choice(FIRM_FIRST)} {rng.choice(FIRM_LAST)}"


def person(rng: Random) -> tuple[str, str]:
    return rng.choice(FIRST_NAMES), rng.choice(LAST_NAMES)


def address(rng: Random) -> str:
    return f"{rng.randint(1, 980)} {rng.choice(STREETS)} {rng.choice(STREET_KINDS)}"


def phone(rng: Random) -> str:
    return f"555-{rng.randint(100, 199):04d}"


def email(first: str, last: str, domain: str) -> str:
    """An address that cannot exist: RFC 2606 keeps .example free."""
    return f"{first}.{last}@{domain}.example".lower().replace(" ", "")

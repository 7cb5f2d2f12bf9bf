"""Made-up products: a name, a price and a picture for each product id, always the same.

Frame's API names a product by its id only, and what it costs is known to Frame. The
page says that all this is made up.
"""

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any

from attrs import frozen

MOST = 999_999
"""Most of one thing that can be bought, whatever its session allows."""

# Words in a text, for a tuple of them would be one a line.
_MANNERS = tuple(
    """
    Amber Arctic Birch Brass Calm Cedar Cobalt Coral Copper Dusk Ember Fern Flint Golden Harbour
    Hazel Indigo Ivory Juniper Linen Lunar Maple Meadow Misty Nordic Olive Pebble Quiet Saffron
    Silver Velvet Willow
    """.split()  # noqa: SIM905
)
_THINGS = tuple(
    """
    Apron Backpack Blanket Bottle Candle Canvas Clock Cushion Lamp Flask Hammock Headphones Journal
    Kettle Keyboard Lantern Mug Notebook Parka Pen Planter Poster Raincoat Record Scarf Sketchbook
    Speaker Teapot Tote Umbrella Vase Wallet
    """.split()  # noqa: SIM905
)
_ENDINGS = (0, 0, 50, 90)


@frozen
class Product:
    """What a product id stands for here."""

    name: str
    """What it is called."""
    price: int
    """What one costs, in cents."""
    hue: int
    """The colour of its picture, in degrees."""
    motif: int
    """The shape of its picture, from 0 to 3."""


@frozen
class Choice:
    """How many of a line item may be bought, both bounds included."""

    least: int
    """The smallest number."""
    most: int
    """The largest number."""
    usual: int
    """What is chosen at first: one, if that is allowed."""


@lru_cache(maxsize=1024)
def product_of(product_id: str) -> Product:
    """Make up the product of an id."""
    digest = sha256(product_id.encode()).digest()
    return Product(
        name=f"{_MANNERS[digest[0] % len(_MANNERS)]} {_THINGS[digest[1] % len(_THINGS)]}",
        price=(6 + digest[2] % 90) * 100 + _ENDINGS[digest[3] % 4],
        hue=int.from_bytes(digest[4:6]) % 360,
        motif=digest[6] % 4,
    )


def choice_of(item: Mapping[str, Any]) -> Choice:
    """Return what a line item lets the payer choose.

    Without bounds it is exactly one; without a lower bound at least one, if the upper
    one allows that; without an upper bound, up to 99. Frame does not say.
    """
    given_least: int | None = item.get("quantity_minimum")
    given_most: int | None = item.get("quantity_maximum")
    if given_least is None and given_most is None:
        return Choice(1, 1, 1)
    most = max(99, given_least or 0) if given_most is None else given_most
    least = min(1, most) if given_least is None else given_least
    least, most = min(least, MOST), min(most, MOST)
    return Choice(least, most, min(max(1, least), most))


def money(cents: int) -> str:
    """Write an amount: ``$1,234.50``."""
    return f"${cents // 100:,}.{cents % 100:02}"

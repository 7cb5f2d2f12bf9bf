"""Products: what a product id is called here, what it costs, and its picture.

Frame's API names a product by its id only, and what it costs is known to Frame. Without a
file of products, all of this is made up from the id, always the same.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from json import loads
from os import PathLike
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from frame_async.emulator.api import checks
from frame_async.emulator.api.checks import Check

from .orders import or_null

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
_DEAREST = 99_999_999
_MOST_PRODUCTS = 10_000
_LARGEST_PICTURE = 256 * 1024
_PICTURES: Final[Mapping[str, str]] = {
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
}


@frozen
class Product:
    """What a product id stands for here."""

    name: str
    """What it is called."""
    price: int
    """What one costs, in hundredths."""
    hue: int
    """The colour of its picture, in degrees."""
    motif: int
    """The shape of its picture, from 0 to 3."""
    picture: str | None = field(default=None, repr=False)
    """A picture as a ``data:`` address; ``None`` for one that is drawn."""


@lru_cache(maxsize=1024)
def made_up(product_id: str) -> Product:
    """Make up the product of an id."""
    digest = sha256(product_id.encode()).digest()
    return Product(
        name=f"{_MANNERS[digest[0] % len(_MANNERS)]} {_THINGS[digest[1] % len(_THINGS)]}",
        price=(6 + digest[2] % 90) * 100 + _ENDINGS[digest[3] % 4],
        hue=int.from_bytes(digest[4:6]) % 360,
        motif=digest[6] % 4,
    )


@frozen
class Shelf:
    """The products that are known, and the currency of all prices."""

    known: Mapping[str, Product] = field(factory=dict[str, Product], repr=False)
    """By id."""
    currency: str = "USD"
    """Three letters."""

    def product_of(self, product_id: str) -> Product:
        """Return the product of an id; made up, if it isn't known."""
        return self.known.get(product_id) or made_up(product_id)

    def money(self, hundredths: int) -> str:
        """Write an amount: ``$1,234.50``, ``EUR 1,234.50``."""
        sign = "$" if self.currency == "USD" else f"{self.currency}\N{NO-BREAK SPACE}"
        return f"{sign}{hundredths // 100:,}.{hundredths % 100:02}"


def shelf_of(source: str | PathLike[str] | Iterable[Mapping[str, Any]] | None) -> Shelf:
    """Take products from a JSON file with a list of objects, or from such objects.

    Each has ``id``, ``name`` and ``price`` (a whole number of hundredths), and may have
    ``currency`` (three letters, the same for all) and ``picture`` (an image file, by a path
    from the file's folder).

    Raises:
        ValueError: They are no products; the message names the first that is wrong.
        OSError: A file can't be read.
    """
    if source is None:
        return Shelf()
    if isinstance(source, str | PathLike):
        path = Path(source)
        return _shelf(_listed(path), path.parent, f"{path}: ")
    return _shelf(list(source), Path(), "products: ")


def _listed(path: Path) -> list[Any]:
    try:
        found = loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise ValueError(f"{path}: is no JSON") from None
    if not checks.is_list(found):
        raise ValueError(f"{path}: must be a list of products")
    return list(found)


def _shelf(objects: list[Any], folder: Path, where: str) -> Shelf:
    if len(objects) > _MOST_PRODUCTS:
        raise ValueError(f"{where}must be {_MOST_PRODUCTS:,} products at most")
    known: dict[str, Product] = {}
    currencies: dict[str, None] = {}
    for number, each in enumerate(objects, start=1):
        try:
            product_id, currency, product = _product(each, folder)
        except ValueError as error:
            raise ValueError(f"{where}product {number}: {error}") from None
        if product_id in known:
            raise ValueError(f"{where}product {number}: id is the one of another product")
        known[product_id] = product
        currencies[currency] = None
    if len(currencies) > 1:
        raise ValueError(f"{where}all products must have the same currency")
    return Shelf(known, *currencies)


def _product(each: object, folder: Path) -> tuple[str, str, Product]:
    if not checks.is_object(each):
        raise ValueError("must be an object")
    if unknown := next((name for name in each if name not in _PRODUCT), None):
        raise ValueError(f"{unknown!r} is no field; known are {', '.join(_PRODUCT)}")
    for name, wrong in checks.fields(each, _PRODUCT, required=("id", "name", "price")).items():
        raise ValueError(f"{name} {next(iter(wrong))}")
    drawn = made_up(each["id"])
    picture = each.get("picture")
    product = Product(
        name=each["name"],
        price=each["price"],
        hue=drawn.hue,
        motif=drawn.motif,
        picture=None if picture is None else _data(folder / picture),
    )
    return each["id"], (each.get("currency") or "USD").upper(), product


def _data(path: Path) -> str:
    kind = _PICTURES.get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"picture must end in {', '.join(_PICTURES)}")
    content = path.read_bytes()
    if len(content) > _LARGEST_PICTURE:
        raise ValueError(f"picture must have at most {_LARGEST_PICTURE // 1024} KiB")
    return f"data:{kind};base64,{b64encode(content).decode()}"


def _price(value: object) -> list[str]:
    sound = checks.is_integer(value) and 0 <= value <= _DEAREST
    return [] if sound else [f"must be a whole number of hundredths, from 0 to {_DEAREST}"]


def _currency(value: object) -> list[str]:
    sound = isinstance(value, str) and len(value) == 3 and value.isascii() and value.isalpha()
    return [] if sound else ["must be three letters"]


_PRODUCT: Final[Mapping[str, Check]] = {
    "id": checks.text,
    "name": checks.text,
    "price": _price,
    "currency": or_null(_currency),
    "picture": or_null(checks.text),
}

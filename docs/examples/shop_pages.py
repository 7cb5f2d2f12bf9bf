"""The shops' pages: plain HTML without a line of JavaScript."""

from html import escape

PRODUCTS = {
    "prod_3": ("Linen Lantern", "$84.90", "lantern"),
    "prod_6": ("Velvet Planter", "$15.90", "planter"),
    "prod_7": ("Juniper Journal", "$60.50", "journal"),
}
"""Name, price and picture by product id."""

STYLE = """
  :root { color-scheme: light dark; --line: #d9dce3; --quiet: #5b6273; --ink: #16191f;
          --paper: #ffffff; --back: #f4f5f8; --deed: #3d3bd1; --good: #0b6b3a; --fine: #e4f5ea; }
  @media (prefers-color-scheme: dark) {
    :root { --line: #343945; --quiet: #a8afbf; --ink: #eef0f5; --paper: #1d2129;
            --back: #12151b; --deed: #5a58e6; --good: #8be0ae; --fine: #12351f; } }
  * { box-sizing: border-box; }
  body { margin: 0; background: var(--back); color: var(--ink);
         font: 1rem/1.5 system-ui, sans-serif; }
  header, main { max-width: 60rem; margin: 0 auto; padding: 1.25rem; }
  header a { color: inherit; font-weight: 700; font-size: 1.1rem; text-decoration: none; }
  h1 { font-size: 1.8rem; line-height: 1.2; margin: .5rem 0 1.5rem; }
  h2 { font-size: 1.1rem; margin: 0; }
  p { margin: .4rem 0 1rem; }
  ul { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1.25rem;
       list-style: none; padding: 0; margin: 0; }
  .card { background: var(--paper); border: 1px solid var(--line); border-radius: .8rem;
          padding: 1.25rem; }
  .card > :last-child { margin-bottom: 0; }
  .narrow { max-width: 32rem; }
  .picture { height: 8rem; border-radius: .5rem; margin-bottom: 1rem; }
  .picture { background: radial-gradient(circle at 62% 42%, var(--near) 1.6rem, #0000 1.65rem),
             radial-gradient(circle at 45% 60%, var(--far) 2.6rem, #0000 2.65rem), var(--wall); }
  .lantern { --near: #b3872a; --far: #e2c176; --wall: #f6ead0; }
  .planter { --near: #2d6d9c; --far: #86bbdf; --wall: #dcecf7; }
  .journal { --near: #37713f; --far: #8fc58f; --wall: #e0f0df; }
  .quiet { color: var(--quiet); }
  .paid { display: inline-block; padding: .1rem .7rem; border-radius: 1rem; font-weight: 600;
          color: var(--good); background: var(--fine); }
  dl { display: grid; grid-template-columns: auto 1fr; gap: .4rem 1.5rem; margin: 0 0 1.25rem; }
  dt { color: var(--quiet); } dd { margin: 0; text-align: right; overflow-wrap: anywhere; }
  button { font: inherit; font-weight: 600; width: 100%; padding: .7rem 1rem; cursor: pointer;
           border: 0; border-radius: .5rem; background: var(--deed); color: #ffffff; }
  button:focus-visible, a:focus-visible { outline: 3px solid var(--deed); outline-offset: 2px; }
"""


def page(title: str, body: str, *, again: int = 0) -> str:
    """A whole page; `again` is after how many seconds the browser asks for it again."""
    refresh = f'<meta http-equiv="refresh" content="{again}">' if again else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{refresh}<title>{escape(title)} - Fieldhouse Goods</title>
<style>{STYLE}</style>
</head>
<body>
<header><a href="/">Fieldhouse Goods</a></header>
<main>
<h1>{escape(title)}</h1>
{body}
</main>
</body>
</html>"""


def products_page(hidden: str = "") -> str:
    """What there is to buy; `hidden` goes into each form."""
    items = "".join(
        f"""<li class="card">
<div class="picture {picture}"></div>
<h2>{name}</h2>
<p class="quiet">{price}</p>
<form method="post" action="/buy/{product}">{hidden}
<button aria-label="Buy the {name}">Buy</button>
</form>
</li>"""
        for product, (name, price, picture) in PRODUCTS.items()
    )
    return page("Good things for the house", f"<ul>{items}</ul>")


def order_page(number: str, product: str, status: str, hidden: str = "") -> str:
    """An order, with a button while it is to be paid; `hidden` goes into its form."""
    name, price, _ = PRODUCTS[product]
    shown, after = {
        "paid": (
            '<span class="paid">Paid</span>',
            '<p class="quiet">Thank you! It is on its way to you.</p>',
        ),
        "returned": (
            "Being confirmed",
            '<p class="quiet">Thank you! We will write to you once the payment is here.</p>',
        ),
    }.get(status, ("To be paid", _pay_form(number, price, hidden)))
    return page(
        "Your order",
        f"""<div class="card narrow">
<dl>
<dt>Order</dt><dd>{escape(number)}</dd>
<dt>Item</dt><dd>{name}</dd>
<dt>Price</dt><dd>{price}</dd>
<dt>Status</dt><dd>{shown}</dd>
</dl>
{after}
</div>""",
        again=5 if status == "returned" else 0,
    )


def _pay_form(number: str, price: str, hidden: str) -> str:
    return f"""<form method="post" action="/orders/{escape(number)}/pay">{hidden}
<button>Pay {price}</button>
</form>"""


def message_page(title: str, text: str, onward: str = "/") -> str:
    """A few words, such as what went wrong, and a way on."""
    where = "Back to the shop" if onward == "/" else "Back to your order"
    return page(
        title,
        f'''<div class="card narrow">
<p>{escape(text)}</p>
<a href="{escape(onward)}">{where}</a>
</div>''',
    )

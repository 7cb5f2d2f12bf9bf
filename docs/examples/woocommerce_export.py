"""An export of WooCommerce, with items in line_item_1, line_item_2 and so on, as JSON Lines.

python woocommerce_export.py woocommerce.csv orders.jsonl
"""

import csv
import json
import sys
from pathlib import Path

# Your article numbers, and the ids of the same products at Frame.
PRODUCTS = {"MUG-01": "prod_mug", "CAP-02": "prod_cap"}


def item_of(order, cell):
    """A line item from a cell such as name:Mug|product_id:7|sku:MUG-01|quantity:2."""
    parts = dict(part.split(":", 1) for part in cell.split("|") if ":" in part)
    article, quantity = parts.get("sku", ""), int(parts["quantity"])
    if article not in PRODUCTS:
        sys.exit(f"{order}: PRODUCTS has no article {article!r}")
    return {
        "product": PRODUCTS[article],
        "quantity_minimum": quantity,
        "quantity_maximum": quantity,
    }


def orders_of(rows):
    """Unpaid orders, each with all of its items."""
    for row in rows:
        if row["status"] == "pending":
            number = row["order_number"]
            cells = [row[name] for name in row if name.startswith("line_item_") and row[name]]
            yield {
                "client_reference_id": number,
                "customer_email": row["customer_email"] or None,
                "line_items": [item_of(number, cell) for cell in cells],
            }


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    with source.open(encoding="utf-8-sig", newline="") as rows, target.open("w") as out:
        for order in orders_of(csv.DictReader(rows)):
            out.write(json.dumps(order) + "\n")

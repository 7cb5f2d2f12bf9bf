"""An export of Shopify, with a row for each item, as JSON Lines with one order each.

python shop_export.py orders_export.csv orders.jsonl
"""

import csv
import json
import sys
from pathlib import Path

# Your article numbers, and the ids of the same products at Frame.
PRODUCTS = {"MUG-01": "prod_mug", "CAP-02": "prod_cap"}


def orders_of(rows):
    """Unpaid orders, each with all of its items; a further item has only the order's name."""
    orders = {}
    for row in rows:
        if row["Financial Status"] == "pending":
            orders[row["Name"]] = {
                "client_reference_id": row["Name"],
                "customer_email": row["Email"] or None,
                "line_items": [],
            }
        if row["Name"] in orders:
            article, quantity = row["Lineitem sku"], int(row["Lineitem quantity"])
            if article not in PRODUCTS:
                sys.exit(f"{row['Name']}: PRODUCTS has no article {article!r}")
            orders[row["Name"]]["line_items"].append(
                {
                    "product": PRODUCTS[article],
                    "quantity_minimum": quantity,
                    "quantity_maximum": quantity,
                }
            )
    return orders.values()


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    with source.open(encoding="utf-8-sig", newline="") as rows, target.open("w") as out:
        for order in orders_of(csv.DictReader(rows)):
            out.write(json.dumps(order) + "\n")

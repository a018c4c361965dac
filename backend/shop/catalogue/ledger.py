"""The audit of the ledger: the stock of every product must be the sum of its movements."""

from lockstep.delivery.audit import Finding
from lockstep.rest.fastpath import fetch_all
from lockstep.sql import statements

SQL = statements(__file__, "ledger")


def check_ledger() -> Finding:
    """Compares all products with all movements."""
    differing = fetch_all(SQL["differing"])
    [number] = fetch_all(SQL["number"])
    differences = [f"product {one['number']}: stock {one['stock']}, ledger {one['summed']}" for one in differing]
    return Finding("shop: stock = ledger", number["count"], differences)

"""Proof that the stock of every product is what the ledger sums to: a part of the audit."""

from pathlib import Path

from lockstep.api.statements import rows
from lockstep.changes.sql_file import load
from lockstep.delivery.audit import Finding

SQL = load(Path(__file__).parent / "sql" / "ledger.sql")


def check_ledger() -> Finding:
    """Compares all products with all movements."""
    differing = rows(SQL["differing"])
    [number] = rows(SQL["number"])
    told = [f"product {one['number']}: stock {one['stock']}, ledger {one['summed']}" for one in differing]
    return Finding("shop: stock = ledger", number["count"], told)

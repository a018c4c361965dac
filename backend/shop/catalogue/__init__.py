"""Products, their tags, and the ledger of their stock."""

"""A vault as its documents say: machines, points, receipts, registers, terms, want lists and needs."""

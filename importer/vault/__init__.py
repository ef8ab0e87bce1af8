"""A vault as its documents say: machines, points, receipts, registers, terms, wants, and what is needed."""

"""One suite for all stores, in `contract`, and what is particular to each."""

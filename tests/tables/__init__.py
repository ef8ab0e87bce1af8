"""Fixed-width tables, read without keys."""

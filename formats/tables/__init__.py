"""Fixed-width tables that both sides read without keys."""

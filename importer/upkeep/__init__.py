"""Upkeep of a vault: prune, validate, compaction."""

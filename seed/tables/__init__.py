"""Compact columns in memory: ids, records, indexes of archives. Pure values."""

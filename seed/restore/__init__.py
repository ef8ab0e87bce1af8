"""Restore: from a recovery point into a folder."""

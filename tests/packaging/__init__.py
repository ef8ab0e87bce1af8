"""Tests of how the product is packed: its wheel, its source distribution, its lock, and its installed files."""

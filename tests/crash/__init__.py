"""Tests that stop commands on purpose, at every write."""

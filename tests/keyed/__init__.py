"""Tests of all code that needs the key."""

"""Tests of the fixed-width tables, which readers need no key for."""

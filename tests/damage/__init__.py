"""Tests that damage objects on purpose, and check the consequences."""

"""Signed documents: bounded JSON in a DSSE envelope."""

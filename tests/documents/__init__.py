"""Signed, bounded JSON documents and credentials."""

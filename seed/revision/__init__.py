"""Revisions of points: files that are lost, and files that are back."""

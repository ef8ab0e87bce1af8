"""Decisions that both sides take alike: acceptance, retention, replacements, completeness, custody."""

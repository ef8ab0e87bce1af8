"""Tests in folders that mirror the packages, beside those of whole properties, damage, crashes and journeys."""

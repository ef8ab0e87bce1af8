"""Mirrors the packages; plus property, vectors, damage, crash, journeys and benchmarks."""

"""The speed of whole processes, measured beside restic and borg: `python -m tests.benchmarks`; see README.md."""

"""Speed, measured: whole processes, ours beside restic and borg. `python -m tests.benchmarks`; see README.md."""

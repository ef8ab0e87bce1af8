"""Everything that both commands share with people: console, progress, jobs, reports. Only `cli` and report rooms import it."""

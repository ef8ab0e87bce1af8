"""The state that an agent keeps on its machine: identity, items, schedule, disk sets, jobs. Imports nothing of the runs."""

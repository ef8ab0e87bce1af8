"""Reports to the operator: status, overview, jobs."""

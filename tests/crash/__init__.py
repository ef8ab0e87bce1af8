"""What is stopped on purpose, at every write."""

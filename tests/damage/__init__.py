"""What is damaged on purpose, and what becomes of it."""

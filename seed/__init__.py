"""The agent: it runs on the machine that is backed up, and holds its keys."""

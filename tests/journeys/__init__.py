"""Stories through the real commands: each command runs in its own process, as users run it."""

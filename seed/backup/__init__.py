"""Export and backup: from paths to a recovery point."""

"""Everything that needs the key."""

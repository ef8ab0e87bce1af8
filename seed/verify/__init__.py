"""Verification: disks and vaults, read back with the keys."""

"""Shipped disks: the first look, the check, the import, and its report."""

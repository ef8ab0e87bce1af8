"""Shipments from a vault to a machine."""

"""Repair and resend: what the vault lacks is sent, and only that."""

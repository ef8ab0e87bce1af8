"""Repair and resend: only the data that the vault lacks is sent."""

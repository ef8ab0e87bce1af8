"""The identity of a machine: registration, replacement, passphrases, the retention that it asks for."""

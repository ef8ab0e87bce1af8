"""One-line faults, and the proof that the fast tests notice each of them."""

"""The only input and output in `formats`: one contract and the stores that keep it."""

"""A hostile neighbour in a vault, generated from the table of names: everything that it can put there, and all commands beside it."""

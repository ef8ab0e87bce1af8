"""A hostile neighbour in a vault: everything that it can put there, beside all commands.

The table of names generates its objects.
"""

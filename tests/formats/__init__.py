"""The description, the errors and the names: held to the code."""

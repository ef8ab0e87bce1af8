"""The part of `seed` that reads the files to back up."""

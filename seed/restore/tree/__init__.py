"""The part of `seed` that writes files back."""

"""Writing files back."""

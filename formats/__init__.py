"""What both sides must agree on: bytes to values and back. No policy, no clock, no environment."""

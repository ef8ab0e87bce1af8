"""Code on which both sides agree: bytes to values and back. It has no policy, no clock, no environment."""

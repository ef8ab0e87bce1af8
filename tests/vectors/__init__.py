"""Golden vectors: bytes that every version of the project must read and write alike."""

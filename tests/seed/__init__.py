"""The agent's stages, each by its own laws."""

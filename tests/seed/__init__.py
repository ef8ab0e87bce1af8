"""The stages of the agent, each tested by its own laws."""

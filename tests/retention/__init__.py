"""Retention and prune: laws of the policy, a model of the protocol, and both sides together under a clock of the tests' own."""

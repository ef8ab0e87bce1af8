"""Tests of retention and prune: laws of the policy, a model of the protocol, and both sides together.

The tests have a clock of their own.
"""

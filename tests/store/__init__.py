"""One suite for all stores, in `contract`, and the tests that concern one store alone."""

"""Constructs, one a noun, that the stacks are put together from."""

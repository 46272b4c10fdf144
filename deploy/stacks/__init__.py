"""The stacks, one a concern; each takes what it needs of the others as arguments."""

"""Deleting local bytes, after proof and never before (I3)."""

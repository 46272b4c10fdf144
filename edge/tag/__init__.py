"""Moves instances from INDEXED to TAGGED: edits planned by ``edge.contract.tag``, proved, and in the journal (D5)."""

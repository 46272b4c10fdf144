"""The journal: what happened to every instance since it was received, for ever (design D3).

Three words to learn: an *entry* is one line of the custody ledger, chained to the one before by hash and never
changed; a *projection* is a table that could be rebuilt from the entries; a *move* is one instance's change of state.
"""

"""From an edge's message to rows: verified, in one transaction, as often as the message comes.

Three words to learn: a *body* is what a message says, a *manifest* is what it points to, and a generation is
*verified* when every object that its manifest lists was found in the store as announced.
"""

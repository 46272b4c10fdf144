"""The spool: the truth about what was received, one valid Part 10 file per instance (design D1, D2).

Three words to learn: a *record* is the fixed note in each file's Private Information that makes it describe itself;
an *arrival* is one file on its way in; *recovery* is what start does with what the last run left.
"""

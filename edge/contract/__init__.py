"""What edge and cloud agree on: values only, no network code.

Three words to learn: a *generation* is one closed set of new instances of one study under one uuid4; a
*manifest* lists exactly one generation; an *ATRIUID* is ``FileID.ScanID``, the tag a series carries for ever.
This package is the only part of ``edge`` that ``cloud`` may import.
"""

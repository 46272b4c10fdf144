"""Processes one uploaded file (P072): scans listed, ATRIUIDs asked for and written, the rest copied as it is.

Three words: a *member* is one file in an archive, or the upload itself; a *finding* is what a member turned out to be;
a *scan* is one series in the upload. Nothing of a file is held in memory, and nothing is unpacked under its own name.
"""

"""``dicom-edge doctor``: is this box fit to receive? The words are *finding* (one line, with the way out) and *path*
(a synthetic study sent through all that a scan goes through, in a spool and under a prefix of its own).
"""

"""What the pipeline reads of the EDC: the upload behind a key. Three words: *form* (ddcrf), *field* (ddfile), *upload*
(subjecteventcrffile: one revision of one field of one form).
"""

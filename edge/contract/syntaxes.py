"""How each transfer syntax writes a dataset: one table, for who reads the index's attributes and who tags.

What is in none of the three is explicit VR little endian: that is PS3.5 A.2 itself, what PS3.5 A.4 has for all that is
encapsulated, and the best guess for a syntax that nobody here knows.
"""

#: PS3.5 A.1; GE's own, and Papyrus 3 (retired, PS3.6 Table A-1): senders still use both.
IMPLICIT_SYNTAXES = frozenset({"1.2.840.10008.1.2", "1.2.840.113619.5.2", "1.2.840.10008.1.20"})
#: PS3.5 A.3, retired; explicit VR.
BIG_ENDIAN_SYNTAXES = frozenset({"1.2.840.10008.1.2.2"})
#: PS3.5 A.5; explicit VR little endian once inflated. JPIP's two have a URL in place of the pixel data.
DEFLATED_SYNTAXES = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})

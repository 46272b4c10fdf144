"""Writes the ATRIUID into what is uploaded, as edits of the received bytes (D5, P027, P028).

Three words to learn: an *outline* is where the elements that matter stand in a file, found without reading values;
a *change* is bytes in place of others, counted in the received file; an *edit* is the same, counted in the tagged one.
Everything here is pure: a file that can seek, a transfer syntax and the inputs of the journal give a list of edits.
"""

"""Plans the ATRIUID as edits of the received bytes (D5, P027, P028): pure, without a DICOM library, for both wings.

Three words to learn: an *outline* is where the elements that matter stand in a file, found without reading values;
a *change* is bytes in place of others, counted in the received file; an *edit* is the same, counted in the tagged one.
A file that can seek, a transfer syntax and the inputs give a list of edits.
"""

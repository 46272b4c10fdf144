"""The image pipeline: from an EDC upload to the labs' quarantine folder.

Three words: *run* (one EDCPipelineFile record, whose id is the FileID), *scan* (one series in it, with its ATRIUID),
*part* (one function of the state machine, or the processing container).
"""

"""Image sets and frames: import DICOM into AWS HealthImaging, fetch every frame back, prove its pixels, clean up.

Three words: a **data store** holds **image sets**, near enough one per series; an image set is metadata (JSON) and
**frames**, each a codestream with the CRC-32 of its decoded pixels beside it.
"""

"""AWS HealthImaging as a server on this machine: the local twin, for demos and tests, not the service.

Three words: a *data store* holds *image sets*, each one DICOM series in numbered versions; an *import job* fills them
from a prefix of S3. What is documented and what is guessed: ASSUMPTIONS.md. Loopback only and no authentication, by
design.
"""

"""Parsing in bounded processes: a *pool* of *workers*, which speak *frames*; nothing here knows DICOM."""

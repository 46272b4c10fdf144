"""The status dashboard: what was received, uploaded and ingested, and what waits, in plain words.

It shows UIDs, ATRIUIDs, keys and figures, never a patient's name or id: it has no sign-in yet.
"""

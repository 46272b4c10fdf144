"""Telling the cloud: generations closed, manifests stored, messages sent until they are accepted (D4, D7)."""

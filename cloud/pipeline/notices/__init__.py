"""Telling people: what a notice says, how it looks as text and as HTML, and how it leaves (P120-P129)."""

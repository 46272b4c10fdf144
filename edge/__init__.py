"""The edge box: receives scans, keeps every acknowledged one, indexes, tags, uploads and announces them."""

__version__ = "0.1.0"

"""The cloud side, on real databases, stores, queues and a real browser."""

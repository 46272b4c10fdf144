"""Jobs that process a file: where they run (AWS Batch, or a process here), how they stand."""

"""The pipeline's state machine: what starts a run, what the run is called, which states it goes through."""

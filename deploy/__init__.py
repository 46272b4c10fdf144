"""How the wings get to where they run; no product logic. ``python -m deploy.app`` writes the cloud's templates."""

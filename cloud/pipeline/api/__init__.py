"""The pipeline's HTTP API (P050-P056): runs, scans, inventory, direct uploads, two pages. Tokens only, no cookies."""

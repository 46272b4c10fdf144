"""The cloud side: the ingester, its index, the tool, the dashboard; of the edge it knows the contract only."""

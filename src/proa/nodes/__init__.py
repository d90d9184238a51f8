"""Nodes: how a region and a witness are put together, whatever world they stand in."""

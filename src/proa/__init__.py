"""Serverless applications that survive the loss of a region, and prove it first."""

"""Backends: one folder each, the same file names in each, one conformance suite over all."""

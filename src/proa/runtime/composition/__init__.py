"""Composition: what the parts of one region stand on. Nothing in it runs or decides."""

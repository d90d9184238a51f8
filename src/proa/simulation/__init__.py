"""Simulation: the author's own app, unchanged, in one deterministic world with virtual time and real faults."""

"""Workloads: what clients do in a simulation, one file each, and the app that they do it to."""

"""Checkers: each takes the history of a run and the world's final state and says what contradicts a guarantee."""

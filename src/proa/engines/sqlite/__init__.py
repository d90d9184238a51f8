"""Embedded SQLite: a region's store, and the file of the global store that the witness process alone opens."""

"""Sagas in a region: what wakes them, how their code runs again, and what becomes of them."""

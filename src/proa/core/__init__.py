"""The pure core: decisions as values. No await, clock, randomness, IO or logging; `now` and `rng` are arguments."""

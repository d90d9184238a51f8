"""What stands between a caller and something that may fail: each policy a value, its state, and pure decisions."""

"""Who asks, and whether they may: tokens, keys, revocations and scopes, decided without a network or a clock."""

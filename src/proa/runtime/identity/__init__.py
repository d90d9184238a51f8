"""Authentication at work: keys fetched, tokens verified, principals put on requests."""

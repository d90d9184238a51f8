"""One region: gateway, unit of work, replicator; and the real ends of clock, entropy and link."""

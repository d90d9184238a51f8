"""What a node tells the world: one stream of events, and its subscribers."""

"""What an author declares: routes, tables, health checks, objectives, as values that the runtime reads."""

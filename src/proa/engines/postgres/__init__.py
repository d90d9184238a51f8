"""The Postgres wire: the global store in a database that every region reaches by itself."""

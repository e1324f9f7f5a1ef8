"""Store: everything that must survive a restart, on SQLite or PostgreSQL with the same code."""

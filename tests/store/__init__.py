"""Tests of `app.store`, on SQLite and on PostgreSQL."""

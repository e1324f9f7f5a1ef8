"""Tests of `app.keys`."""

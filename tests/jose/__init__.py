"""Tests of `app.jose`."""

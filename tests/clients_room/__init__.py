"""Tests of this folder may share what stands beside them."""

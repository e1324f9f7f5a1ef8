"""certbound: an OAuth 2.0 authorization server that ends mutual TLS itself (RFC 8705)."""

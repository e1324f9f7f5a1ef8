"""Mutual TLS ended by the application: from handshake to `PeerCertificate` in the ASGI scope."""

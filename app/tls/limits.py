"""What one connection may cost: seconds, bytes and counts, in one frozen record."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Deadlines in seconds, sizes in bytes. Every deadline is absolute: no byte sent prolongs it."""

    handshake: float = 10.0
    """From accepting the connection to the end of the TLS handshake."""
    headers: float = 10.0
    """From the first byte of a request (or the end of the handshake) to its last header line."""
    body: float = 15.0
    """From the last header line to the last byte of the body."""
    idle: float = 60.0
    """Between two requests; also how long a client may leave a response unread without progress."""
    flush: float = 10.0
    """How long a closing connection may take to accept what was already written to it."""
    linger: float = 2.0
    """How long to go on discarding input after an error, so that the client reads the answer."""
    drain: float = 1.0
    """What a half-received request gets to complete once the server is stopping."""
    shutdown: float = 10.0
    """What requests in flight get to finish once the server is stopping."""
    max_connections: int = 10_000
    """Open connections of this process, handshakes included."""
    max_connections_per_address: int = 2_000
    """The same from one IPv4 address or one IPv6 /64."""
    handshakes_per_address: int = 0
    """Handshakes begun a second, from the same; twice as many at once. 0: no limit."""
    max_header_bytes: int = 32 * 1024
    """Request line and headers together; more is answered 431. As much again may surround a chunked
    body (chunk sizes, chunk extensions, trailers); more is answered 413."""
    max_body_bytes: int = 64 * 1024
    """Decoded request body; more is answered 413."""
    max_waiting: int = 16
    """Whole requests of one connection behind the one being answered; one more is answered 429."""
    max_chain_certificates: int = 10
    """Certificates the client may send, its own included."""
    max_chain_bytes: int = 32 * 1024
    """Their DER together. OpenSSL itself breaks off the handshake above 100 KiB."""

"""One server-side TLS connection in memory: ciphertext in, plaintext out, and the way back.

No socket and no event loop in here. The handshake runs through pyOpenSSL's own methods, so that
an exception in a callback ends it (CVE-2026-27448). Records go straight to libssl: pyOpenSSL's
``recv`` and ``bio_read`` raise an exception each time there is nothing to read, which is once per
request, and that alone costs a tenth of a kept-alive token.
"""

import logging

from OpenSSL import SSL
from OpenSSL._util import ffi, lib

logger = logging.getLogger("certbound.tls")

# One TLS record of plaintext (RFC 8446 section 5.1); OpenSSL hands out at most one per read.
_RECORD = 16 * 1024
# A response with its record overhead mostly fits one read.
_OUTPUT = 32 * 1024
# A memory BIO keeps all that is written to it, so a long response goes in slices.
_SLICE = 4 * _RECORD

# Left uninitialised: zeroing 32 KiB costs more than the read itself. Never handed out, only the
# part that was written is copied from it.
_new = ffi.new_allocator(should_clear_after_alloc=False)


def _broken() -> SSL.Error:
    """Why libssl gave up, for the log; empties the thread's error queue."""
    code = lib.ERR_get_error()
    reason = ffi.string(lib.ERR_reason_error_string(code)).decode() if code else "unknown"
    lib.ERR_clear_error()
    return SSL.Error(reason)


class TlsSession(SSL.Connection):
    """Ends TLS for one client. Every method may raise `SSL.Error`; after that only `take` is of use."""

    def __init__(self, context: SSL.Context) -> None:
        super().__init__(context, None)
        self.set_accept_state()

    def feed(self, ciphertext: bytes) -> None:
        """Bytes that came from the client."""
        if ciphertext and lib.BIO_write(self._into_ssl, ciphertext, len(ciphertext)) <= 0:
            raise SSL.Error("no memory for input")

    def handshake(self) -> bool:
        """Go as far as the input allows; True once the handshake is complete."""
        lib.ERR_clear_error()
        try:
            self.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.Error:
            raise
        except Exception as error:
            logger.exception("a TLS callback failed; the handshake is refused")
            raise SSL.Error("a callback failed") from error
        return True

    def plaintext(self) -> bytes | None:
        """The next piece the client sent; None: more input is needed; empty: its close_notify."""
        lib.ERR_clear_error()  # SSL_get_error looks at the thread's queue, whoever filled it
        buffer = _new("char[]", _RECORD)
        read: int = lib.SSL_read(self._ssl, buffer, _RECORD)
        if read > 0:
            return bytes(ffi.buffer(buffer, read))
        error = lib.SSL_get_error(self._ssl, read)
        if error == lib.SSL_ERROR_WANT_READ:
            return None
        if error == lib.SSL_ERROR_ZERO_RETURN:
            return b""
        raise _broken()

    def encrypt(self, plaintext: bytes) -> bytes:
        """The records that carry `plaintext`, with whatever else was waiting to be sent."""
        if len(plaintext) <= _SLICE:
            self._put(plaintext)
            return self.take()
        pieces = []
        view = memoryview(plaintext)
        for start in range(0, len(plaintext), _SLICE):
            self._put(bytes(view[start : start + _SLICE]))
            pieces.append(self.take())
        return b"".join(pieces)

    def _put(self, plaintext: bytes) -> None:
        lib.ERR_clear_error()
        done = 0
        while done < len(plaintext):
            rest = plaintext[done:] if done else plaintext
            written: int = lib.SSL_write(self._ssl, rest, len(rest))
            if written <= 0:
                raise _broken()
            done += written

    def take(self) -> bytes:
        """The bytes that must go to the client now: handshake messages, records, alerts."""
        taken = b""
        while True:
            buffer = _new("char[]", _OUTPUT)
            read: int = lib.BIO_read(self._from_ssl, buffer, _OUTPUT)
            if read <= 0:
                return taken
            taken += bytes(ffi.buffer(buffer, read))
            if read < _OUTPUT:
                return taken

    def say_goodbye(self) -> bytes:
        """Our close_notify, after all that is still to be sent; nothing once the session failed."""
        lib.ERR_clear_error()
        if lib.SSL_shutdown(self._ssl) < 0:
            lib.ERR_clear_error()
        return self.take()

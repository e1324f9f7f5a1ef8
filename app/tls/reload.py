"""The server's own certificate on disk, exchanged without dropping a connection."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from OpenSSL import SSL

from app.tls import context

logger = logging.getLogger("certbound.tls")

_INTERVAL = 1.0


class ServerCertificate:
    """Watches certificate and key file; `renew` gets a new context when they are exchanged.

    A pair that cannot be used is reported once and the old one stays. Certificate and key are
    exchanged one after the other, so a change is read only when both files stood still for one
    interval.
    """

    def __init__(
        self, certificate_file: Path, key_file: Path, renew: Callable[[SSL.Context], None]
    ) -> None:
        self._files = (certificate_file, key_file)
        self._renew = renew
        self._loaded = self._seen = self._stamp()

    async def watch(self) -> None:
        """Look at the files about once a second, until cancelled."""
        while True:
            await asyncio.sleep(_INTERVAL)
            stamp = self._stamp()
            if stamp != self._loaded and stamp == self._seen:
                self.reload()
            self._seen = stamp

    def reload(self) -> bool:
        """Read the files now, changed or not; False when the old pair stays."""
        self._loaded = self._seen = self._stamp()
        try:
            fresh = context.build(*self._files)
        except context.CertificateFileError as error:
            logger.error("the server certificate was not exchanged, the old one stays: %s", error)  # noqa: TRY400 - the message says it all
            return False
        self._renew(fresh)
        logger.info("the server certificate was read anew from %s", self._files[0])
        return True

    def _stamp(self) -> tuple[object, ...]:
        return tuple(_stamp(file) for file in self._files)


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written or replaced; None when it is not there."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino

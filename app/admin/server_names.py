"""Do the server's certificate, its issuer and its mTLS URL fit together?"""

from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from app.config import Settings
from app.pki.check import CertificateFacts

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


def missing(facts: CertificateFacts, settings: Settings) -> list[tuple[str, str]]:
    """Setting and host of each URL whose host the certificate does not name (RFC 9525 section 6)."""
    urls = {"issuer": settings.issuer, "mtls_base_url": settings.mtls_base_url}
    hosts = {setting: _host(url) for setting, url in urls.items()}
    return [(setting, host) for setting, host in hosts.items() if not _names(facts, host)]


def left_local(settings: Settings) -> str:
    """What to say where the issuer was given a name of its own and `mtls_base_url` was not."""
    if _host(settings.issuer) in _LOCAL or _host(settings.mtls_base_url) not in _LOCAL:
        return ""
    return f"mtls_base_url is still {settings.mtls_base_url}, the issuer is {settings.issuer}"


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _names(facts: CertificateFacts, host: str) -> bool:
    try:
        return ip_address(host).packed in facts.names.ip
    except ValueError:
        return any(_covers(name.lower(), host.lower()) for name in facts.names.dns)


def _covers(name: str, host: str) -> bool:
    if name.startswith("*."):
        label, dot, rest = host.partition(".")
        return bool(label and dot) and rest == name[2:]
    return name == host


def listed(sans: Sequence[str]) -> str:
    """``DNS:localhost``, ``IP:::1`` as people say them: ``localhost, ::1``."""
    return ", ".join(each.partition(":")[2] for each in sans) or "nobody"

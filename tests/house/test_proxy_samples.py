"""Samples of proxies that cannot be run here do what is known of those proxies' rules."""

import re
from pathlib import Path

from app.binding.client_cert_header import FORMS
from app.binding.header_names import tells_certificate

PAGE = Path(__file__).parents[2] / "docs" / "proxies.md"
NAMED = re.compile(r"`((?:[A-Za-z]+-)*[A-Za-z]*[Cc]ert(?:-Chain)?)`")


def _after_envoy(sent: dict[str, str], certificate: str) -> dict[str, str]:
    """The headers that the sample's mutations make of these, with this `%DOWNSTREAM_PEER_CERT%`.

    Envoy's rule: they run in order, and one that would set an empty value does nothing.
    """
    sample = PAGE.read_text().split("request_mutations:")[1].split("  - name:")[0]
    headers = dict(sent)
    for removed, set_to in re.findall(r"- remove: (\S+)|header: \{ key: ([^,]+),", sample):
        if removed:
            headers.pop(removed, None)
        elif certificate:
            headers[set_to] = certificate
    return headers


def test_envoy_lets_no_client_write_the_certificate_header() -> None:
    """Neither that header nor one that is named like it survives, with a certificate or without."""
    own, _ = FORMS["nginx"]
    names = {name.lower() for name in NAMED.findall(PAGE.read_text())}
    names = {name for name in names if tells_certificate(name.encode())} | {own.decode()}
    names -= {"x-forwarded-client-cert"}  # Envoy's own, and removed by it unless told otherwise
    assert len(names) > 5
    sent = dict.fromkeys(names, "the victim's certificate")
    assert _after_envoy(sent, "") == {}
    assert _after_envoy(sent, "the caller's") == {own.decode(): "the caller's"}

"""Names under which proxies and balancers hand on certificates: all that are known, and their like.

Guarantees that a header which some software would read as the client's certificate is noticed,
whatever its maker calls it: where one form is agreed upon, every other is somebody's mistake or
somebody's attempt. Which form is agreed upon: `app.binding.client_cert_header`.
"""

import re

_KNOWN = re.compile(rb"client-?cert|(?:^|-)(?:ssl|tls|mtls|peer|viewer)-?cert")
"""``Client-Cert`` (RFC 9440), ``X-Client-Cert`` and ``SSL-Client-Cert`` (nginx), ``X-SSL-Cert``
(Apache, HAProxy), ``X-Forwarded-Client-Cert`` (Envoy), ``X-Forwarded-Tls-Client-Cert`` (Traefik),
``X-Amzn-Mtls-Clientcert`` (AWS), ``X-ARR-ClientCert`` (Azure), ``CloudFront-Viewer-Cert-Pem``."""


def tells_certificate(name: bytes) -> bool:
    """Whether this header name, in lower case, is one. CGI makes ``_`` and ``-`` the same name."""
    return _KNOWN.search(name.replace(b"_", b"-")) is not None

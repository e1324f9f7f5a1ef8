"""What certbound asks of the certificates of servers that it fetches from."""

import ssl

_FLAGS = ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN


def strict(context: ssl.SSLContext) -> ssl.SSLContext:
    """The same context, which keeps to RFC 5280 alike on every Python (by default from 3.13 on).

    A certificate without what section 4.2 demands, such as an authority key identifier, is refused;
    an intermediate CA that is in the file of those to be trusted needs no root beside it. Names,
    dates and purposes are checked by what `ssl.create_default_context` sets, not by this.
    """
    context.verify_flags |= _FLAGS
    return context

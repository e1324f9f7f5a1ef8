"""Which addresses a registered URL may make this server connect to.

Guards against a client whose `jwks_uri` points at our own machine, our network or the cloud's
metadata service. A name is judged by every address it resolves to, never by how it is spelt.
"""

import ipaddress
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Python's own `is_global` changes with its patch level, so the registries are written out here:
# IANA special-purpose addresses (RFC 6890 and successors) that are not globally reachable.
_NEVER: Final[dict[str, str]] = {
    "0.0.0.0/8": "this host",
    "169.254.0.0/16": "link-local, cloud metadata",
    "168.63.129.16/32": "Azure's platform address",
    "192.0.0.0/24": "IETF protocol assignments, Oracle's metadata",
    "192.0.2.0/24": "documentation",
    "192.88.99.0/24": "6to4 relay",
    "198.18.0.0/15": "benchmarking",
    "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved and broadcast",
    "100.100.100.200/32": "Alibaba's metadata",
    "fd00:ec2::/32": "Amazon's metadata",
    "fd20:ce::/32": "Google's metadata",
    "2001::/23": "IETF protocol assignments, Teredo",
    "2001:db8::/32": "documentation",
    "2002::/16": "6to4",
    "3fff::/20": "documentation",
    "64:ff9b::/96": "NAT64",
    "64:ff9b:1::/48": "NAT64",
}
_PRIVATE: Final[dict[str, str]] = {
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "shared (CGNAT)",
    "127.0.0.0/8": "loopback",
    "172.16.0.0/12": "private",
    "192.168.0.0/16": "private",
    "::1/128": "loopback",
    "fc00::/7": "private",
}
_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that is globally routed; everything outside but `_PRIVATE` is refused."""


def _networks(table: dict[str, str]) -> tuple[tuple[Network, str], ...]:
    return tuple((ipaddress.ip_network(text), why) for text, why in table.items())


_NEVER_NETWORKS = _networks(_NEVER)
_PRIVATE_NETWORKS = _networks(_PRIVATE)


def objection(text: str, *, allow_private: bool = False) -> str | None:
    """Why the address `text` must not be connected to, or None where it may.

    `allow_private` admits loopback, private and shared networks. It never admits link-local
    addresses, metadata services, multicast, or forms that hide an IPv4 address.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "not an IP address"
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return "link-local"
        if address.ipv4_mapped is not None:
            return objection(str(address.ipv4_mapped), allow_private=allow_private)
    if (why := _found(address, _NEVER_NETWORKS)) is not None:
        return why
    if (why := _found(address, _PRIVATE_NETWORKS)) is not None:
        return None if allow_private else why
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return "not globally routed"
    return None


def _found(address: Address, networks: tuple[tuple[Network, str], ...]) -> str | None:
    return next((why for network, why in networks if address in network), None)

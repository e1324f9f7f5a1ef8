"""`app.jose.addresses`: the table of where a registered URL may lead."""

import pytest

from app.jose.addresses import objection

PUBLIC = ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "2a00:1450:4001:80b::200e"]
PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "100.127.255.255",
    "::1",
    "fc00::1",
    "fdff::1",
    "::ffff:127.0.0.1",
    "::ffff:10.1.2.3",
    "::ffff:a00:1",
]
NEVER = [
    "0.0.0.0",  # noqa: S104  # an example, bound by nobody
    "0.1.2.3",
    "169.254.169.254",
    "169.254.170.2",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::7f00:1",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2001::1",
    "2001:db8::1",
    "3fff::1",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1%1",
    "fec0::1",
    "ff02::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "100::1",
    "4000::1",
    "5f00::1",
    "localhost",
    "",
    "127.1",
    "0x7f000001",
    "2130706433",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_fetched_from(address: str) -> None:
    """An address in public unicast space is let through."""
    assert objection(address) is None


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_need_the_setting(address: str) -> None:
    """Loopback, private and shared addresses pass with the setting only."""
    assert objection(address) is not None
    assert objection(address, allow_private=True) is None


@pytest.mark.parametrize("address", NEVER)
def test_other_addresses_are_refused_even_with_the_setting(address: str) -> None:
    """Metadata, link-local, multicast, tunnelled and malformed addresses never pass."""
    assert objection(address) is not None
    assert objection(address, allow_private=True) is not None

import pytest

from fedvox.common.errors import IdentityError
from fedvox.common.identity.addresses import Address, parse_address


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("fl.example.org:8443", "fl.example.org", 8443, False),
        ("192.0.2.7:1", "192.0.2.7", 1, False),
        ("[2001:db8::7]:65535", "2001:db8::7", 65535, False),
        ("localhost:80", "localhost", 80, True),
        ("127.1.2.3:80", "127.1.2.3", 80, True),
        ("[::1]:80", "::1", 80, True),
    ],
)
def test_addresses_and_back(text: str, host: str, port: int, loopback: bool) -> None:
    address = parse_address(text)
    assert (address.host, address.port, address.is_loopback) == (host, port, loopback)
    assert str(address) == text and address.url == f"https://{text}"
    assert parse_address(str(address)) == Address(host, port)


@pytest.mark.parametrize(
    "text",
    ["", "host", "host:", ":8443", "host:0", "host:65536", "host:-1", "host:8x", "host:²",
     "2001:db8::7:8443", "a b:1", "https://host:1", "host/path:1", "[fe80::1%eth0]:1", "user@h:1",
     "-a.example:1", "a..b:1", f"{'a' * 64}.org:1", "h\n:1"],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(IdentityError, match="write host:port"):
        parse_address(text)

"""Addresses of this machine."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address; a name that is not `localhost` may be anything."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"

"""Addresses of this machine, and names in general."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address; a name that is not `localhost` may be anything."""
    return ipaddress.ip_address(host).is_loopback if is_address(host) else host.lower() == "localhost"


def is_address(host: str) -> bool:
    """Tell whether it is an address, not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

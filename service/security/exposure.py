"""What an operator should know at start: who can reach the service, and whether they need a key."""

import ipaddress
import logging

from service.security.access import Access

logger = logging.getLogger(__name__)


def tell_exposure(host: str, access: Access) -> None:
    """Log how many keys there are; warn loudly if others than this machine can come in without one."""
    if access.keys_required:
        count = sum(not key.admin for key in access.keys)
        logger.info("a key is needed, and %d %s known", count, "is" if count == 1 else "are")
    elif not is_loopback(host):
        logger.warning(
            "OPEN TO THE NETWORK WITHOUT KEYS: whoever can connect to %s may use every model. "
            "Set BIGBIRD_API_KEYS_FILE, or let only trusted machines reach it (SECURITY.md)",
            host,
        )
    if access.admin_enabled:
        logger.info("models can be managed over HTTP with the admin key")


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address; a name that is not `localhost` may be anything."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"

"""Who may use the service: the keys that it knows, as hashes, and the question whose key a request carries.

The keys come from the settings. Whatever is wrong with them stops start-up: the alternative is an open door.
"""

import hashlib
import hmac
import ipaddress
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from service.security.key_lines import KeyLineError, read_key_file, read_key_variable
from service.settings import InvalidSettings, Settings, environment_name


@dataclass(frozen=True, slots=True)
class Key:
    """A key, without the key itself.

    Attributes:
        name: What metrics and log call whoever holds it.
        digest: Its SHA-256. A key is 256 random bits, so there is nothing to guess, and a slow hash would add nothing.
        admin: Whether it may manage the models, too.
    """

    name: str
    digest: bytes = field(repr=False)
    admin: bool = False


class Access:
    """The keys of the service.

    Args:
        keys: All of them; without any the service is open to everybody, and administration is off.
    """

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self.keys = tuple(keys)
        self.keys_required = any(not key.admin for key in self.keys)
        self.admin_enabled = any(key.admin for key in self.keys)

    def recognise(self, secret: str) -> Key | None:
        """Return the key that this is, or None. Takes the same time whichever it is, and however nearly it is one."""
        digest = digest_of(secret)
        found = None
        for key in self.keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found


def digest_of(secret: str) -> bytes:
    """Return what is kept of a key."""
    # What cannot be encoded is no key of ours, and must not be an error either.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def read_access(settings: Settings) -> Access:
    """Read the keys that the settings give or point to.

    Raises:
        InvalidSettings: They cannot be used; one line names the setting and the place, and no key.
    """
    keys: list[Key] = []
    if settings.api_keys is not None:
        value = settings.api_keys.get_secret_value()
        keys += _read("api_keys", lambda: read_key_variable(value))
    if settings.api_keys_file is not None:
        path = settings.api_keys_file
        keys += _read("api_keys_file", lambda: read_key_file(path))
    if settings.admin_key is not None:
        admin_value = settings.admin_key.get_secret_value()
        keys += _read("admin_key", lambda: read_key_variable(admin_value, admin=True))
    if settings.admin_key_file is not None:
        admin_path = settings.admin_key_file
        keys += _read("admin_key_file", lambda: read_key_file(admin_path, admin=True))
    _refuse_doubles(keys)
    return Access(keys)


def _read(setting: str, read: Callable[[], list[Key]]) -> list[Key]:
    try:
        return read()
    except KeyLineError as error:
        raise InvalidSettings(f"{environment_name(setting)}: {error}") from None


def _refuse_doubles(keys: Iterable[Key]) -> None:
    names: set[str] = set()
    holders: dict[bytes, str] = {}
    for key in keys:
        if key.name in names:
            raise InvalidSettings(f"keys: two have the name {key.name}")
        if key.digest in holders:
            raise InvalidSettings(f"keys: {holders[key.digest]} and {key.name} are the same key")
        names.add(key.name)
        holders[key.digest] = key.name


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

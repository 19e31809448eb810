"""Who may use the service: the keys that it knows, as hashes, and the question whose key a request carries."""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field


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

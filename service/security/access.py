"""Who may use the service: the keys that it knows, as hashes, and the question whose key a request carries.

Keys come from the settings, one on each line: its name and its hash, `reporting sha256:9f86d0...`. A file holds one on
each line, a variable several behind each other with commas; `#` begins a comment in a file. Whatever is wrong with them
stops start-up: the alternative is an open door. It is told with the place and never with the line: somebody may have
put the key itself there.
"""

import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bigbird_inference.addresses import is_loopback
from service.settings import InvalidSettings, Settings, environment_name

logger = logging.getLogger(__name__)


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
    # What cannot be encoded is not a key of ours, and must not be an error either.
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


def tell_exposure(hosts: Sequence[str], access: Access) -> None:
    """Log how many keys there are; warn loudly if others than this machine can come in without one."""
    if access.keys_required:
        count = sum(not key.admin for key in access.keys)
        logger.info("a key is needed, and %d %s known", count, "is" if count == 1 else "are")
    elif not all(map(is_loopback, hosts)):
        logger.warning(
            "OPEN TO THE NETWORK WITHOUT KEYS: whoever can connect to %s may use every model. "
            "Set BIGBIRD_API_KEYS_FILE, or let only trusted machines reach it (SECURITY.md)",
            ", ".join(hosts),
        )
    if access.admin_enabled:
        logger.info("models can be managed over HTTP with the admin key")


# Lets scanners of code and logs recognise a key that went astray.
PREFIX = "bb_"
_RANDOM_BYTES = 32


def make_key() -> str:
    """Return a new key: 256 random bits, in letters that need no quoting anywhere."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

_LINE = re.compile(rf"(?P<name>{NAME.pattern})[ \t]+sha256:(?P<digest>[0-9a-fA-F]{{64}})")
_SHAPE = "not `NAME sha256:` and 64 hexadecimal digits, as `bigbird key NAME` prints it"
# Every key is compared with every request's, and has series of its own in the metrics.
_MOST_KEYS = 1000
_MOST_BYTES = 1024 * 1024


class KeyLineError(Exception):
    """Keys cannot be read; the message names the place."""


def key_line(name: str, secret: str) -> str:
    """Return the line that makes a key known."""
    return f"{name} sha256:{digest_of(secret).hex()}"


def read_key_file(path: Path, *, admin: bool = False) -> list[Key]:
    """Read the keys of a file.

    Raises:
        KeyLineError: It cannot be read, a line is not a key's, or there is none: that would open the service.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise KeyLineError(f"{path}: {error.strerror or 'cannot be read'}") from None
    if len(content) > _MOST_BYTES:
        raise KeyLineError(f"{path}: larger than {_MOST_BYTES} bytes")
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        number = content[: error.start].count(b"\n") + 1
        raise KeyLineError(f"{path}:{number}: not UTF-8") from None
    places = ((f"{path}:{number}", _without_comment(line)) for number, line in enumerate(lines, start=1))
    return list(_keys(str(path), ((place, line) for place, line in places if line), admin))


def read_key_variable(value: str, *, admin: bool = False) -> list[Key]:
    """Read the keys of a variable.

    Raises:
        KeyLineError: An entry is not a key's, or there is none.
    """
    entries = (entry.strip() for entry in re.split(r"[,\n]", value))
    places = ((f"entry {number}", entry) for number, entry in enumerate(entries, start=1) if entry)
    return list(_keys("the value", places, admin))


def names_in(content: str) -> set[str]:
    """Return the names in a file's content, whether or not all of it can be used."""
    matches = (_LINE.fullmatch(_without_comment(line)) for line in content.splitlines())
    return {match["name"] for match in matches if match}


def _without_comment(line: str) -> str:
    return line.partition("#")[0].strip()


def _keys(source: str, lines: Iterator[tuple[str, str]], admin: bool) -> Iterator[Key]:
    count = 0
    for place, line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            raise KeyLineError(f"{place}: {_SHAPE}")
        count += 1
        if count > _MOST_KEYS:
            raise KeyLineError(f"{place}: more than {_MOST_KEYS} keys")
        yield Key(match["name"], bytes.fromhex(match["digest"]), admin)
    if count == 0:
        raise KeyLineError(f"{source} holds no key")

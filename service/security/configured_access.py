"""From the settings to the keys. Whatever is wrong with them stops start-up: the alternative is an open door."""

from collections.abc import Callable, Iterable

from service.security.access import Access, Key
from service.security.key_lines import KeyLineError, read_key_file, read_key_variable
from service.settings import InvalidSettings, Settings, environment_name


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

"""What is said at start about who can come in."""

import logging

import pytest

from service.security.access import Access, Key, is_loopback, tell_exposure

USER = Key("reporting", b"1")
ADMIN = Key("root", b"2", admin=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost", "LOCALHOST"])
def test_an_address_of_this_machine_only(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", "localhost.example.com", "127.0.0.1.nip"])
def test_an_address_that_others_may_reach(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("host", "keys", "warned"),
    [
        pytest.param("127.0.0.1", [], False, id="only this machine"),
        pytest.param("0.0.0.0", [], True, id="everybody and no key"),
        pytest.param("::", [ADMIN], True, id="an admin key does not close the tasks"),
        pytest.param("0.0.0.0", [USER], False, id="everybody with a key"),
    ],
)
def test_an_open_service_is_warned_about_loudly(
    host: str, keys: list[Key], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    tell_exposure(host, Access(keys))
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert bool(warnings) == warned
    assert all("OPEN TO THE NETWORK WITHOUT KEYS" in warning and host in warning for warning in warnings)


def test_keys_are_counted_and_not_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tell_exposure("0.0.0.0", Access([USER, ADMIN]))
    assert [record.getMessage() for record in caplog.records] == [
        "a key is needed, and 1 is known",
        "models can be managed over HTTP with the admin key",
    ]

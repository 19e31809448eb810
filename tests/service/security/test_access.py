"""Whose key it is, without telling by time how nearly it is one, and without showing what is kept of it."""

import hmac

import pytest

from service.security.access import Access, Key, digest_of


def access(*names: str, admin: str | None = None) -> Access:
    keys = [Key(name, digest_of(f"secret of {name}")) for name in names]
    return Access([*keys, *([Key(admin, digest_of(f"secret of {admin}"), admin=True)] if admin else [])])


def test_a_key_is_recognised_among_several() -> None:
    known = access("reporting", "batch", admin="root")
    found = {secret: known.recognise(secret) for secret in ("secret of batch", "secret of root", "secret of nobody")}
    assert {secret: key.name if key else None for secret, key in found.items()} == {
        "secret of batch": "batch",
        "secret of root": "root",
        "secret of nobody": None,
    }
    assert [key.admin for key in found.values() if key] == [False, True]


@pytest.mark.parametrize(
    "secret", ["", " ", "secret of reportin", "SECRET OF REPORTING", "secret of reporting\x00", "\ud800", "é" * 100_000]
)
def test_what_is_no_key_is_nobodys(secret: str) -> None:
    assert access("reporting").recognise(secret) is None


def test_a_hash_is_no_key() -> None:
    key = Key("reporting", digest_of("secret"))
    assert Access([key]).recognise(key.digest.hex()) is None


def test_every_key_is_compared_in_constant_time_whichever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def counted(known: bytes, given: bytes) -> bool:
        compared.append((known, given))
        return compare(known, given)

    monkeypatch.setattr("service.security.access.hmac.compare_digest", counted)
    known = access("first", "second", "third")
    for secret in ("secret of first", "secret of third", "nothing like it"):
        compared.clear()
        known.recognise(secret)
        # All of them, and always hashes: equally long, and their first difference tells nothing.
        assert [kept for kept, _ in compared] == [key.digest for key in known.keys]
        assert {len(given) for _, given in compared} == {32}


def test_nothing_shows_what_is_kept_of_a_key() -> None:
    key = Key("reporting", digest_of("secret"))
    assert key.digest.hex() not in repr(key) and str(key.digest) not in repr(key)
    assert "reporting" in repr(key)


@pytest.mark.parametrize(
    ("known", "keys_required", "admin_enabled"),
    [
        pytest.param(access(), False, False, id="open, and administration off, by default"),
        pytest.param(access("reporting"), True, False, id="a key closes the service"),
        pytest.param(access(admin="root"), False, True, id="an admin key alone leaves the tasks open"),
        pytest.param(access("reporting", admin="root"), True, True, id="both"),
    ],
)
def test_what_needs_a_key_follows_from_the_keys(known: Access, keys_required: bool, admin_enabled: bool) -> None:
    assert (known.keys_required, known.admin_enabled) == (keys_required, admin_enabled)

"""Making keys."""

import secrets

# Lets scanners of code and logs recognise a key that went astray.
PREFIX = "bb_"
_RANDOM_BYTES = 32


def make_key() -> str:
    """Return a new key: 256 random bits, in letters that need no quoting anywhere."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)

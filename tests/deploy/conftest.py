"""What the tests of deployment share with the end-to-end tests."""

from tests.end_to_end.conftest import bundles as bundles

"""Certificates for the tests of TLS."""

import pytest
import trustme


@pytest.fixture(scope="session")
def authority():
    """An authority that only these tests trust."""
    return trustme.CA()

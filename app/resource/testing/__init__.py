"""For the tests of a guarded API: ``pytest_plugins = ["app.resource.testing"]``.

`bound_issuer` is an authorization server in memory; its `verifier()` goes into the application
under test. `Caller` drives that as the holder of a token, as a thief, or without a certificate.
"""

import pytest

from app.resource.testing.caller import Caller, Response
from app.resource.testing.certificates import Authority, Certificate
from app.resource.testing.issuer import Issuer

__all__ = ["Authority", "Caller", "Certificate", "Issuer", "Response", "bound_issuer"]


@pytest.fixture
def bound_issuer() -> Issuer:
    """An issuer of the test's own."""
    return Issuer()

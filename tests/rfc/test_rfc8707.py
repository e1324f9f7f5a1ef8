"""RFC 8707, Resource Indicators for OAuth 2.0, at the token endpoint."""

import pytest

from tests.kit.asgi import Answer, Stage

FILES = "https://files.example/v1"


def asked(stage: Stage, *resources: str) -> Answer:
    """A token request of ``bot`` with these resource parameters."""
    plain = [("grant_type", "client_credentials"), ("client_id", "bot")]
    fields = [*plain, *(("resource", one) for one in resources)]
    return stage.post("/token", fields, peer=stage.bot)


def test_section_2_the_resource_becomes_the_audience(stage: Stage) -> None:
    """The token is for the resource named, spelt as it was, and for no other."""
    stage.add_resource(FILES, "files:read")
    peer = stage.add_client("reader", resources=(FILES,), scopes=("files:read",))
    claims = stage.claims(stage.token(peer, client_id="reader", resource=FILES))
    assert claims["aud"] == FILES
    assert claims["scope"] == "files:read"


def test_section_2_without_resource_the_default(standing: Stage) -> None:
    """A request that names none gets a token for the server's default resource."""
    claims = standing.claims(asked(standing))
    assert claims["aud"] == standing.settings.default_resource
    named = standing.claims(asked(standing, standing.settings.default_resource))
    assert named["aud"] == claims["aud"]


@pytest.mark.parametrize(
    "resource",
    [
        "https://unknown.example",
        "https://localhost:9444/",
        "https://localhost:9444#fragment",
        "https://localhost:9444?query",
        "https://LOCALHOST:9444",
        "localhost:9444",
        "/relative",
        "urn:nothing",
        "x",
    ],
)
def test_section_2_an_unknown_or_malformed_resource(standing: Stage, resource: str) -> None:
    """Relative, with a fragment, or nobody's: ``invalid_target``; nothing is guessed or tidied up."""
    answer = asked(standing, resource)
    assert (answer.status, answer.json()["error"]) == (400, "invalid_target")


def test_section_2_a_resource_of_others(stage: Stage) -> None:
    """A registered resource that the client may not use is ``invalid_target`` too."""
    stage.add_resource(FILES, "files:read")
    assert asked(stage, FILES).json()["error"] == "invalid_target"
    peer = stage.add_client("reader", resources=(FILES,))
    default = stage.settings.default_resource
    answer = stage.token(peer, client_id="reader", resource=default)
    assert answer.json()["error"] == "invalid_target"
    assert stage.token(peer, client_id="reader").json()["error"] == "invalid_target"


def test_section_2_one_token_for_one_resource(stage: Stage) -> None:
    """More than one resource is refused, even twice the same (docs/divergences.md)."""
    default = stage.settings.default_resource
    for resources in ((default, default), (default, FILES)):
        answer = asked(stage, *resources)
        assert (answer.status, answer.json()["error"]) == (400, "invalid_target")


def test_section_2_2_scope_follows_the_resource(stage: Stage) -> None:
    """A token carries only scopes that its resource knows, whatever else the client may have."""
    default = stage.settings.default_resource
    stage.add_resource(FILES, "files:read", "files:write")
    wishes = {"resources": (default, FILES), "scopes": ("api:read", "files:read")}
    peer = stage.add_client("both", **wishes)
    for resource, scope in ((default, "api:read"), (FILES, "files:read")):
        answer = stage.token(peer, client_id="both", resource=resource)
        assert answer.json()["scope"] == scope
    mixed = stage.token(peer, client_id="both", resource=FILES, scope="files:read api:read")
    assert mixed.json()["error"] == "invalid_scope"
    wider = stage.token(peer, client_id="both", resource=FILES, scope="files:write")
    assert wider.json()["error"] == "invalid_scope"

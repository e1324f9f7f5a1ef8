"""Traces of a real server, as a collector receives them."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.kit import tokens
from tests.kit.collector import Collector, collecting, facts
from tests.kit.crew import eventually
from tests.kit.running import Running, free_ports, running

CANARY = "canaryOfAStranger"
TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """Where traces go."""
    with collecting() as found:
        yield found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Running]:
    """A server that traces."""
    home = tmp_path_factory.mktemp("home")
    with running(home, traces="true", extra=collector.environment) as started:
        yield started


def of_trace(collector: Collector, root: Span) -> dict[str, Span]:
    """The spans of one trace, by name."""
    return {span.name: span for span in collector.spans() if span.trace_id == root.trace_id}


def requests_with(collector: Collector, fact: str, value: str) -> list[Span]:
    """Requests to ``/token`` of which this is told, as soon as there is one."""

    def found() -> list[Span]:
        return [span for span in collector.named("POST /token") if facts(span).get(fact) == value]

    eventually(found)
    return found()


def root_of(collector: Collector, decision: str) -> Span:
    """The newest request to ``/token`` that ended so."""
    return requests_with(collector, "certbound.decision", decision)[-1]


def test_a_token_request(server: Running, collector: Collector) -> None:
    """From the handshake's facts to the signature: one trace, each part within the one before."""
    token = tokens.issued(tokens.ask_as(server, "bot", "bot"))
    root = root_of(collector, "issued")
    found = facts(root)
    assert root.parent_span_id == b""
    assert root.kind == Span.SPAN_KIND_SERVER
    claims = tokens.read(token)
    assert found == {
        "http.request.method": "POST",
        "http.route": "/token",
        "http.response.status_code": 200,
        "url.scheme": "https",
        "network.protocol.name": "http",
        "network.protocol.version": "1.1",
        "tls.protocol.name": "tls",
        "tls.protocol.version": "1.3",
        "tls.cipher": found["tls.cipher"],
        "tls.client.hash.sha256": hexed(claims["cnf"]["x5t#S256"]),
        "certbound.certificate.presented": True,
        "certbound.decision": "issued",
        "certbound.client_id": "bot",
        "certbound.jti": claims["jti"],
        "certbound.auth.method": "tls_client_auth",
        "certbound.grant": "client_credentials",
    }
    spans = of_trace(collector, root)
    assert set(spans) == {"POST /token", "decide", "authenticate", "commit", "sign"}
    for name, parent in (("decide", root), ("commit", root), ("sign", root)):
        assert spans[name].parent_span_id == parent.span_id
    assert spans["authenticate"].parent_span_id == spans["decide"].span_id
    assert facts(spans["commit"]) == {"db.system.name": "sqlite"}
    assert spans["commit"].end_time_unix_nano <= spans["sign"].start_time_unix_nano
    [resource, *_] = collector.requests()[0].resource_spans
    named = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert named["service.name"] == "certbound"


def hexed(thumbprint: str) -> str:
    """``x5t#S256`` in hexadecimal."""
    return base64.urlsafe_b64decode(thumbprint + "=").hex().upper()


def test_nothing_that_was_sent_enters_a_trace(server: Running, collector: Collector) -> None:
    """A refused request full of a stranger's words: the trace has the reason, in ours."""
    with server.client(None) as http:
        http.post(f"{server.token_url}?q={CANARY}", data={"client_id": CANARY})
        answer = http.post(
            server.token_url,
            data={"client_id": CANARY, "grant_type": CANARY, "scope": CANARY},
            headers={
                "traceparent": TRACEPARENT,
                "tracestate": f"a={CANARY}",
                "baggage": f"b={CANARY}",
                "user-agent": CANARY,
            },
        )
    assert answer.status_code == 401
    ref = answer.json()["error_ref"]
    [span] = requests_with(collector, "certbound.error_ref", ref)
    assert span.status.code != Status.STATUS_CODE_ERROR, "a refusal is no failure of ours"
    found = facts(span)
    assert found["certbound.reason"] == "client_unknown"
    assert found["certbound.grant"] == "other"
    assert found["certbound.certificate.presented"] is False
    assert "certbound.client_id" not in found
    everything = b"".join(collector.bodies)
    assert CANARY.encode() not in everything
    assert bytes.fromhex(TRACE) not in everything, "a caller's trace is nothing to us"


def test_no_secret_in_a_trace(server: Running, collector: Collector) -> None:
    """No token, signature, key or certificate, in no form, in all that was ever exported."""
    token = tokens.issued(tokens.ask_as(server, "bot", "bot"))
    with server.client("bot") as http:
        http.post(f"{server.issuer}/introspect", data={"client_id": "bot", "token": token})
    eventually(lambda: collector.named("look up"))
    root_of(collector, "issued")
    everything = b"".join(collector.bodies)
    for part in token.split("."):
        assert part.encode() not in everything
    for file in (server.home / "certs").iterdir():
        for line in file.read_bytes().splitlines():
            if len(line) > 30:
                assert line not in everything, file.name


@pytest.mark.parametrize("how", ["link", "parent"])
def test_a_caller_that_may_be_heard(tmp_path: Path, how: str) -> None:
    """With the setting a caller's trace is linked, or goes on here; workers are told apart."""
    with (
        collecting() as collector,
        running(
            tmp_path,
            traces="true",
            traces_from_callers=how,
            workers="2",
            extra=collector.environment,
        ) as server,
    ):
        with server.client("bot") as http:
            data = {"client_id": "bot", "grant_type": "client_credentials"}
            headers = {"traceparent": TRACEPARENT}
            assert http.post(server.token_url, data=data, headers=headers).status_code == 200
        root = root_of(collector, "issued")
        links = [link.trace_id.hex() for link in root.links]
        assert (root.trace_id.hex() == TRACE) == (how == "parent")
        assert links == ([TRACE] if how == "link" else [])
        numbers = {
            each.value.int_value
            for request in collector.requests()
            for resource in request.resource_spans
            for each in resource.resource.attributes
            if each.key == "certbound.worker"
        }
        assert numbers <= {1, 2}
        assert numbers


def test_a_collector_that_is_gone(tmp_path: Path) -> None:
    """Requests are answered, the log says what is lost, and the end is as soon as ever."""
    [port] = free_ports(1)
    nowhere = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    }
    with running(tmp_path, traces="true", extra=nowhere) as server:
        for _ in range(3):
            assert tokens.issued(tokens.ask_as(server, "bot", "bot"))
        eventually(lambda: "event=traces.lost" in server.log, lambda: server.log)
        assert tokens.issued(tokens.ask_as(server, "bot", "bot"))

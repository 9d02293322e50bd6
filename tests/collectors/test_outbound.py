"""URLs that users gave reach the outside, and nothing else: real calls to a loopback server."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from autorag.errors import (
    AddressError,
    InputError,
    MeasurementError,
    UnreachableError,
    WorkCancelled,
)
from collectors.outbound import EVERYWHERE, Outbound
from tests.loopback import Loopback, Reply, serving

PUBLIC = "93.184.216.34"
LOOPBACK = Outbound([ip_network("127.0.0.0/8")])
STRICT = Outbound()


def hello(request: object) -> Reply:
    return Reply(content=b"hello", headers={"X-Seen": "yes"})


@pytest.fixture
def server() -> Iterator[Loopback]:
    with serving(hello) as running:
        yield running


def answers(*rounds: Iterable[str]) -> tuple[Outbound, list[str]]:
    """Loopback allowed, names resolved to these addresses, one round after the other; and the
    names that were asked for."""
    asked: list[str] = []
    left = iter(rounds)

    def resolve(host: str, port: int) -> Iterable[str]:
        asked.append(host)
        return next(left)

    return Outbound(LOOPBACK.allowed_networks, resolve), asked


# -- what may be called ------------------------------------------------------------------------

INSIDE = (
    "127.0.0.1",
    "127.0.0.2",
    "127.1",
    "127.0.1",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0x7F.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "127。0。0。1",
    "0.0.0.0",
    "0",
    "10.0.0.1",
    "10.255.255.255",
    "167772161",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "0xc0a80101",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "100.64.0.1",
    "100.127.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:10.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::1]",
    "[2002:7f00:1::]",
    "[2002:a00:1::1]",
    "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[100::1]",
    "[fe80::1]",
    "[fec0::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "[5f00::1]",
    "[4000::1]",
)


@pytest.mark.parametrize("host", INSIDE)
def test_however_it_is_spelled_an_address_inside_is_refused(host: str) -> None:
    url = f"http://{host}:8080/evaluate"
    with pytest.raises(AddressError, match=r"^webhook") as caught:
        STRICT.check(url, "webhook")
    assert caught.value.key == "webhook"
    assert caught.value.value == url
    with pytest.raises((AddressError, UnreachableError)):
        STRICT.post(url, b"")


@pytest.mark.parametrize(
    "url",
    [
        "http://8.8.8.8/",
        "https://1.1.1.1:8443/a/b?c=d",
        "http://134744072/",
        "http://[2606:4700::1111]/",
        "http://[64:ff9b::808:808]/",
        "http://[2002:808:808::1]/",
        "http://172.32.0.1/",
        "http://100.128.0.1/",
    ],
)
def test_addresses_outside_are_fine(url: str) -> None:
    STRICT.check(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "evaluator",
        "/evaluate",
        "//8.8.8.8/",
        "ftp://8.8.8.8/",
        "file:///etc/passwd",
        "gopher://8.8.8.8/",
        "http://",
        "http:///evaluate",
        "http:8.8.8.8",
        r"http:\\8.8.8.8",
        "http://8.8.8.8:0/",
        "http://8.8.8.8:65536/",
        "http://8.8.8.8:-1/",
        "http://8.8.8.8:http/",
        "http://8.8.8.8/#top",
        "http://8.8.8.8/\r\nX: y",
        "http://8.8.8.8\0/",
        "http://a b/",
        "http://[::1/",
        "http://\ud800/",
        "http://８.8.8.8/",
        "http://" + 70 * "a" + ".com/",
    ],
)
def test_what_is_no_url_of_a_server_is_refused_with_its_name(url: str) -> None:
    with pytest.raises(AddressError) as caught:
        STRICT.check(url, "evaluator")
    assert caught.value.key == "evaluator"
    assert "evaluator" in str(caught.value)


def test_a_long_url_is_refused() -> None:
    with pytest.raises(AddressError, match="2049 characters"):
        STRICT.check("http://8.8.8.8/" + "a" * (2049 - len("http://8.8.8.8/")))


@pytest.mark.parametrize("rest", ["8.8.8.8/", "127.0.0.1/", "8.8.8.8:99999/", "[::1/"])
def test_a_password_is_refused_and_not_shown(rest: str) -> None:
    with pytest.raises(AddressError) as caught:
        STRICT.check(f"http://someone:secret@{rest}")
    assert "secret" not in f"{caught.value} {caught.value.value}"


def test_one_address_inside_is_enough_to_refuse_a_name() -> None:
    mixed = Outbound(resolve=lambda host, port: [PUBLIC, "10.0.0.5"])
    with pytest.raises(AddressError, match="no public address") as caught:
        mixed.check("http://mixed.test/")
    assert "10.0.0.5" not in str(caught.value), "who may ask is not always who may know it"


def test_a_name_that_nobody_knows_is_refused() -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(InputError, match="Name or service not known") as caught:
        Outbound(resolve=unknown).check("http://nobody.test/x", "evaluator")
    assert (caught.value.key, caught.value.value) == ("evaluator", "http://nobody.test/x")
    with pytest.raises(AddressError, match="host not found"):
        Outbound(resolve=lambda host, port: []).check("http://nobody.test/")


def test_an_allowed_network_is_allowed_in_all_its_spellings() -> None:
    for host in ("127.0.0.1", "127.1", "2130706433", "[::ffff:127.0.0.1]"):
        LOOPBACK.check(f"http://{host}/")
    for host in ("10.0.0.1", "[::1]", "169.254.169.254"):
        with pytest.raises(AddressError):
            LOOPBACK.check(f"http://{host}/")
    Outbound(EVERYWHERE).check("http://[fe80::1]:80/")


# -- calls -------------------------------------------------------------------------------------


def test_an_allowed_server_is_called(server: Loopback) -> None:
    answer = LOOPBACK.post(f"{server.url}/a/b?c=d%20e", b'{"x": 1}', {"X-Mine": "1"})
    assert (answer.status, answer.content, answer.headers["x-seen"]) == (200, b"hello", "yes")
    (request,) = server.asked
    assert (request.path, request.content) == ("/a/b?c=d%20e", b'{"x": 1}')
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-mine"] == "1"


def test_without_permission_it_is_not_even_connected(server: Loopback) -> None:
    with pytest.raises(AddressError):
        STRICT.post(server.url, b"")
    assert server.asked == []


def test_a_name_that_turns_inside_after_its_check_is_not_called(server: Loopback) -> None:
    rounds = iter([[PUBLIC], ["127.0.0.1"]])
    rebinding = Outbound(resolve=lambda host, port: next(rounds))
    rebinding.check(f"http://rebinding.test:{server.port}/")
    with pytest.raises(AddressError, match="no public address"):
        rebinding.post(f"http://rebinding.test:{server.port}/", b"")
    assert server.asked == []


def test_the_address_that_was_checked_is_the_one_connected_to(server: Loopback) -> None:
    outbound, names = answers(["127.0.0.1"])
    assert outbound.post(f"http://named.test:{server.port}/", b"").status == 200
    assert names == ["named.test"]
    assert server.asked[0].headers["host"] == f"named.test:{server.port}"


def test_where_one_address_does_not_answer_the_next_is_tried(server: Loopback) -> None:
    outbound, _ = answers(["127.0.0.2", "127.0.0.1"])
    assert outbound.post(f"http://two.test:{server.port}/", b"").content == b"hello"


def test_no_redirect_is_followed() -> None:
    with serving(hello) as inside:
        there = {"Location": f"{inside.url}/secret"}
        with (
            serving(lambda request: Reply(307, b"", there)) as outside,
            pytest.raises(MeasurementError, match="307: redirects are not followed"),
        ):
            LOOPBACK.post(outside.url, b"")
        assert inside.asked == []


def test_no_proxy_is_used(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:9")
    assert LOOPBACK.post(server.url, b"").content == b"hello"


@pytest.mark.parametrize("status", [201, 400, 404, 422, 500, 503])
def test_whatever_else_is_answered_is_handed_over(status: int) -> None:
    with serving(lambda request: Reply(status, b"why")) as server:
        answer = LOOPBACK.post(server.url, b"")
    assert (answer.status, answer.content) == (status, b"why")


def test_too_large_an_answer_is_not_read_to_its_end() -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 10_000

    small = Outbound(LOOPBACK.allowed_networks, most_bytes=100_000)
    with (
        serving(lambda request: Reply(content=endless())) as server,
        pytest.raises(MeasurementError, match="more than 100000 bytes"),
    ):
        small.post(server.url, b"")
    assert sent < 10_000


def test_a_compressed_answer_is_refused() -> None:
    with (
        serving(lambda request: Reply(headers={"Content-Encoding": "gzip"})) as server,
        pytest.raises(MeasurementError, match="gzip"),
    ):
        LOOPBACK.post(server.url, b"")


def trickle() -> Iterator[bytes]:
    """A byte now and then: never silent, never done."""
    for _ in range(100):
        time.sleep(0.05)
        yield b"x"


def silence() -> Iterator[bytes]:
    time.sleep(2)
    yield b"late"


@pytest.mark.parametrize("slowly", [trickle, silence])
def test_an_answer_that_takes_too_long_is_given_up(slowly: object) -> None:
    assert callable(slowly)
    with (
        serving(lambda request: Reply(content=slowly())) as server,
        pytest.raises(MeasurementError, match=r"no whole answer within 0\.3 s") as caught,
    ):
        LOOPBACK.post(server.url, b"", answer_s=0.3)
    assert not isinstance(caught.value, UnreachableError)


def test_a_call_can_be_ended_while_it_waits() -> None:
    polls = 0

    def poll() -> None:
        nonlocal polls
        polls += 1
        if polls == 2:
            raise WorkCancelled("enough")

    with (
        serving(lambda request: Reply(content=silence())) as server,
        pytest.raises(WorkCancelled, match="enough"),
    ):
        LOOPBACK.post(server.url, b"", answer_s=60, poll=poll)


def test_a_server_that_is_not_there_cannot_be_reached() -> None:
    with serving(hello) as gone:
        pass
    with pytest.raises(UnreachableError, match=f"127.0.0.1:{gone.port}"):
        LOOPBACK.post(gone.url, b"")


def test_a_server_that_hangs_up_cannot_be_reached() -> None:
    with (
        serving(lambda request: Reply(content=None)) as server,
        pytest.raises(UnreachableError),
    ):
        LOOPBACK.post(server.url, b"")


def test_the_query_of_a_url_is_not_told_by_errors() -> None:
    with (
        serving(lambda request: Reply(302)) as server,
        pytest.raises(MeasurementError) as caught,
    ):
        LOOPBACK.post(f"{server.url}/hook?token=secret", b"")
    assert "secret" not in str(caught.value)


# -- TLS ---------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A certificate for ``named.test`` that is trusted here."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        f"{openssl} req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=named.test "
        f"-addext subjectAltName=DNS:named.test -keyout {key} -out {cert}".split(),
        check=True,
        capture_output=True,
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def test_the_certificate_must_be_that_of_the_name(certificate: ssl.SSLContext) -> None:
    outbound, _ = answers(["127.0.0.1"], ["127.0.0.1"])
    with serving(hello, certificate) as server:
        assert outbound.post(f"https://named.test:{server.port}/", b"").content == b"hello"
        with pytest.raises(UnreachableError, match=r"(?i)certificate"):
            outbound.post(f"https://other.test:{server.port}/", b"")
    assert len(server.asked) == 1

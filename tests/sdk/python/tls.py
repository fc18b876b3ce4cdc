"""Over TLS, through a proxy in front of the server: a kept connection and a stream survive a fork, a wrong certificate is refused.

python tls.py small|full [WORD …]
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from evenhand import Client

from served import EXPERIMENT, HOUR_MS, Shop, run


def certificate(folder: Path) -> Path:
    """One of 127.0.0.1 that vouches for itself, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "evenhand test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "certificate.pem"
    file.write_bytes(text + made.public_bytes(serialization.Encoding.PEM))
    return file


def pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def proxy(shop: Shop, file: Path) -> Iterator[tuple[str, list[int]]]:
    """Its address, and how many connections it was asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    taken = [0]
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:

        def serve(plain: socket.socket) -> None:
            with contextlib.suppress(OSError):
                secured = context.wrap_socket(plain, server_side=True)
                inner = socket.create_connection(("127.0.0.1", shop.server.port))
                threading.Thread(target=pump, args=(inner, secured), daemon=True).start()
                pump(secured, inner)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection = listener.accept()[0]
                    taken[0] += 1
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}", taken
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def trusted(shop: Shop) -> str:
    file = certificate(shop.directory)
    before, notes, twice = shop.units(), shop.rows("note"), shop.duplicates()
    os.environ["SSL_CERT_FILE"] = str(file)
    try:
        with proxy(shop, file) as (url, taken):
            client = Client(url, shop.key, flush_interval_ms=HOUR_MS)
            shop.check(client.wait_ready(10), "ready", client.telemetry())
            shop.eventually(lambda: client.telemetry()["streaming"], bool, "the stream opens")
            for number in range(5):
                client.decide("checkout", {"user_id": f"tls-{number}"})
                shop.check(client.flush(), "delivered", client.telemetry())
            opened = taken[0]
            shop.check(opened == 2, "one connection is kept for all requests, beside the stream", opened)
            child = os.fork()
            if child == 0:
                client.track("note", {"user_id": "tls-child"})
                good = client.flush(10)
                client.close()
                os._exit(0 if good else 3)
            shop.equal(os.waitpid(child, 0)[1], 0, "a child delivers over a connection of its own")
            client.track("note", {"user_id": "tls-parent"})
            shop.check(client.flush(), "the parent over the one it has", client.telemetry())
            shop.check(client.telemetry()["streaming"], "its stream is open still")
            shop.act(EXPERIMENT, "kill")
            shop.eventually(
                lambda: client.evaluate("checkout", {"user_id": "u"}).reason,
                lambda found: found == "KILLED",
                "and tells",
            )
            shop.act(EXPERIMENT, "unkill")
            client.close()
    finally:
        del os.environ["SSL_CERT_FILE"]
    shop.eventually(shop.units, lambda found: found == before + 5, "five units")
    shop.eventually(lambda: shop.rows("note"), lambda found: found == notes + 2, "both notes")
    shop.equal(shop.duplicates(), twice, "nothing came twice")
    return f"{taken[0]} connections"


def distrusted(shop: Shop) -> None:
    file = certificate(shop.directory)
    with proxy(shop, file) as (url, _):
        client = Client(url, shop.key)
        shop.check(not client.wait_ready(0.5), "nobody vouches for the server: there is no manifest")
        error = shop.eventually(lambda: client.telemetry()["last_error"], bool, "the reason is kept")
        shop.check("certificate verify failed" in error, "and says what", error)
        client.close(0.1)


PROOFS = [
    ("a connection is kept, and survives a fork", trusted),
    ("a certificate that nobody vouches for", distrusted),
]

if __name__ == "__main__":
    run("tls", PROOFS)

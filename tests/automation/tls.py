"""A certificate for hook.test, localhost and 127.0.0.1, made for the tests and trusted by nobody else."""

import ssl
from pathlib import Path

_FILES = Path(__file__).parent.parent / "unit" / "certificates"


def server_context() -> ssl.SSLContext:
    """What a server shows."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(_FILES / "certificate.pem", _FILES / "key.pem")
    return context


def client_context() -> ssl.SSLContext:
    """What a client needs to believe it."""
    return ssl.create_default_context(cafile=str(_FILES / "certificate.pem"))

"""Certificates for a CRM on loopback: one that the tests trust, and one that nobody does."""

import ssl
from pathlib import Path

from tests.drivers.relays import tls_of_localhost, tls_with

__all__ = ["an_impostor", "tls_of_localhost"]


def an_impostor(folder: Path) -> ssl.SSLContext:
    """Return the context of a server that says it is localhost, with a certificate that nobody vouches for."""
    return tls_with(folder / "impostor.pem", IMPOSTOR_PEM)


# Made for these tests, and good for nothing else.
IMPOSTOR_PEM = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjbmOlTHvhBaO0Zpp
TzhTeXpatKDKFVfxhL9Z+mZdGMmhRANCAATWNSBA2oyQqwyWeejwGVlJvngrWErf
XC9nHRwOK56NLydUZ0+QEQ0dDSApBaGGeZT2WR/uSF9PgpGJWHRsrqAI
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBljCCATugAwIBAgIUMuUoKLgwoSmF28AL8UAW04l1228wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNTIxMTExNVoYDzIwOTgwMTMx
MjExMTE1WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATWNSBA2oyQqwyWeejwGVlJvngrWErfXC9nHRwOK56NLydUZ0+QEQ0d
DSApBaGGeZT2WR/uSF9PgpGJWHRsrqAIo2kwZzAdBgNVHQ4EFgQUkkzPtzTxWvO7
7G2W3amvzfIYf0EwHwYDVR0jBBgwFoAUkkzPtzTxWvO77G2W3amvzfIYf0EwDwYD
VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwID
SQAwRgIhANS7p0X8pdrtWILrPikh9G7N+VCr7DGc3IGgr6KUs+J8AiEAhc9z/PPp
SzlbGrqdn0wvQIyMbenyOEz1NvqzAVeu4LU=
-----END CERTIFICATE-----
"""

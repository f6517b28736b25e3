"""Whose certificates are trusted: read once a process, which takes longer than a whole request to a neighbour."""

import functools
import ssl

import httpx2


@functools.cache
def tls_context() -> ssl.SSLContext:
    """For every HTTP client of this process; `SSL_CERT_FILE` and `SSL_CERT_DIR` name other certificates than certifi's."""
    return httpx2.create_ssl_context()

"""TLS contexts of both sides, made of certificates of the tests."""

import ssl

import trustme


def presenting(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """Of a server with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """Of a client that trusts what that authority signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context

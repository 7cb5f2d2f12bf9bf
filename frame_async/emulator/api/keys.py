"""API keys: which are accepted, and what may be said about one.

``sk_sandbox_…`` and ``sk_production_…`` are secret server-side keys, ``pk_…`` are
publishable keys for browsers (Frame reference, authentication). The emulator
takes any well-formed sandbox key and nothing else.
"""

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from os import urandom

from attrs import define, field, frozen

from .answers import RefusedError, error_answer

_SANDBOX = re.compile(r"sk_sandbox_([!-~]+)")
_SHOWN = 4
_REMEMBERED = 1024
_SHORTEST_SHOWN = 8  # of a shorter secret, four characters would be too much

_REFUSALS: Mapping[str, str] = {
    "missing": "No API key: send the header Authorization: Bearer sk_sandbox_…",
    "production": "The emulator takes no production key: use one that starts with sk_sandbox_.",
    "publishable": "This is a publishable key, which is for browsers: "
    "a server uses a secret key, here one that starts with sk_sandbox_.",
    "unknown": "Not a key the emulator knows: send the header "
    "Authorization: Bearer sk_sandbox_… with visible ASCII characters only.",
}


@frozen
class Key:
    """What an ``Authorization`` header turned out to hold."""

    mode: str
    """``sandbox``, ``production``, ``publishable``, ``unknown`` or ``missing``."""
    secret: str = field(default="", repr=False)
    """The whole key when it is an accepted one, else empty. Never log or keep it."""
    suffix: str = ""
    """The last four characters of an accepted key that is long enough to show them."""

    @property
    def label(self) -> str:
        """The key as it may be shown, such as ``sandbox …ator``."""
        return f"{self.mode} …{self.suffix}"

    def require(self) -> str:
        """Return the accepted key, or raise the `RefusedError` (401) of its mode."""
        if self.mode == "sandbox":
            return self.secret
        answer = error_answer(401, "authentication_error", _REFUSALS[self.mode])
        raise RefusedError(answer.plus({"WWW-Authenticate": "Bearer"}))


@define(eq=False)
class KeyNames:
    """Names for keys that can be written down: nobody gets from a name to its key."""

    salt: bytes = field(factory=lambda: urandom(16), repr=False)
    """Goes into every name, so that names of one emulator mean nothing to another."""
    _names: dict[str, str] = field(init=False, factory=dict[str, str], repr=False)

    def of(self, secret: str) -> str:
        """Return the name of a key, always the same."""
        name = self._names.get(secret)
        if name is None:
            if len(self._names) >= _REMEMBERED:
                self._names.clear()
            name = blake2b(secret.encode(), key=self.salt, digest_size=16).hexdigest()
            self._names[secret] = name
        return name

    def restore(self, salt: bytes) -> None:
        """Go on with the names of an earlier run."""
        self.salt = salt
        self._names.clear()


def read_key(authorization: Sequence[str]) -> Key:
    """Read all ``Authorization`` headers of a request; two of them are no key."""
    if not authorization:
        return Key("missing")
    scheme, _, token = authorization[0].partition(" ")
    if len(authorization) > 1 or scheme.lower() != "bearer":
        return Key("unknown")
    return _classify(token.strip(" "))


def _classify(token: str) -> Key:
    if accepted := _SANDBOX.fullmatch(token):
        long_enough = len(accepted[1]) >= _SHORTEST_SHOWN
        return Key("sandbox", token, token[-_SHOWN:] if long_enough else "")
    if token.startswith("sk_production_"):
        return Key("production")
    return Key("publishable" if token.startswith("pk_") else "unknown")

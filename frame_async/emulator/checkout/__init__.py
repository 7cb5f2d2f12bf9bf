"""The hosted checkout page: what a payer sees of a session, and what they do there.

It works without JavaScript, loads nothing from anywhere, and keeps no card or bank
data. Frame's own page looks different; what it asks for, and what it must not say, is
taken from Frame's reference.
"""

from .views import PREFIX, Checkout

__all__ = ["PREFIX", "Checkout"]

"""What every store does, on each of ours.

How to add a backend: see ``conftest.py`` beside this file.
"""

from frame_async.testing.store_conformance import *  # noqa: F403  # the tests themselves

"""What the emulator shows to those who run it: the admin API, the dashboard, its document.

None of it is Frame's, none of it is in the ledger, and no web page from elsewhere gets
at it.
"""

from .api import AdminApi, is_admin_path

__all__ = ["AdminApi", "is_admin_path"]

"""Requests on the wire: one aiohttp session, and what was observed of each exchange."""

"""Requests on the wire: aiohttp's connections, and what was observed of each exchange."""

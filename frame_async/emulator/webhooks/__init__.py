"""Webhooks as Frame sends them: endpoints, deliveries, and where these may go."""

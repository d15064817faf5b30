"""The HTTP server in front of it."""

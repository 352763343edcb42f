"""The HTTP API. A view parses, makes one domain call, and renders."""

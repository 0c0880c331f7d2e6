"""Turns HTTP requests in OpenAI's words, and in Rung's own, into decisions of the releases it stands around.

Knows nothing about how a decision is made. This is the only door to the web stack.
"""

from rung.gateway.app import Gateway, application
from rung.gateway.keys import digest, new_key
from rung.gateway.server import GatewayError, require_port, serve, serving

__all__ = ["Gateway", "GatewayError", "application", "digest", "new_key", "require_port", "serve", "serving"]

"""The engines on an event loop."""

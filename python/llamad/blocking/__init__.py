"""The engines on threads, for callers that wait."""

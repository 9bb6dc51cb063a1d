"""OpenAI's wire formats: from bytes to a parsed request, and from results to bytes. No HTTP, no slots."""

"""Side-by-side measurements of llamad and llama-server, and pytest-benchmark runs of the engine."""

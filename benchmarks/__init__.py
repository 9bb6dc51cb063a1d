"""Side-by-side measurements of llamad and its peers, and pytest-benchmark runs of the engine."""

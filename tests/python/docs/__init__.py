"""What stands in docs/: the site builds, and the examples run."""

"""llamad as a model of other people's tools; each module imports the tool it is named after."""

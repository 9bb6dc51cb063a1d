"""Other formats of models into GGUF, with nothing but the standard library."""

"""The endpoints: one file per family, each a class whose `routes()` are rows of the table."""

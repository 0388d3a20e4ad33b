"""The catalog: one SQLite database that says what there is; every index is a projection of it."""

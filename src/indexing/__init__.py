"""The application: settings, what an owner opens, sources, cutting, ingest, search, and the command line."""

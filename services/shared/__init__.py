"""Plumbing that knows nothing of leads: settings, errors, the gRPC server, the stream, the database."""

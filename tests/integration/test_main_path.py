"""From ingest through the stream and the scorer to the tables, on real servers."""

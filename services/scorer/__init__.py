"""Turns facts into scores: consumes each partition in order, and is the only writer of the database."""

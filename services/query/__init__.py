"""Reads what the scorer has committed, and passes on to watchers what it announces. Never writes."""

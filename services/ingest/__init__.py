"""Takes facts in: validates them, gives them ids and a partition, and answers when they are on disk in the stream."""

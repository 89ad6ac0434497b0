"""How a fact gets onto the stream: what makes it recognisable, which line it belongs to, and when it is on disk."""

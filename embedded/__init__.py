"""A real nats-server and a real PostgreSQL from wheels, as child processes that never outlive their parent."""

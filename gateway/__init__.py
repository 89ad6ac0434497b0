"""REST, server-sent events, uploads and the dashboard in front of the services. Holds no state and no business rule."""

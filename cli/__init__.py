"""The command line: `leadscore` and its commands. Reaches the services by gRPC alone."""

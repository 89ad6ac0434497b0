"""The command line: `leadscore up | load | top | watch | explain | doctor`. Reaches the services by gRPC alone."""

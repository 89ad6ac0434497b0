"""`leadscore up`: the whole suite on this machine, as child processes that are watched and restarted."""

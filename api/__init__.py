"""The outermost layer: command line now, HTTP and jobs later. Only here are the parts wired."""

"""HTML: the report of a study, the roofline of a machine, the status of the service."""

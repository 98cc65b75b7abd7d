"""A collection survives: killed processes, full disks, damaged files, many processes at once."""

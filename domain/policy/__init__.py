"""What a caller may do to a thing: the one place that decides, for routes, pages, streams and the command line."""

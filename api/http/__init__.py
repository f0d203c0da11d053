"""What all routes share: authentication, errors, bodies, streams, limits."""

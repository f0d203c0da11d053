"""What `towpath demo` shows."""

"""What a caller may do to a thing: pure rules that every door of the system asks."""

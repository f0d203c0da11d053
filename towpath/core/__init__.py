"""What every room leans on: errors, value types, JSON; knows nothing else of the package."""

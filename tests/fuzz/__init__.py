"""`make fuzz`: schemathesis over the whole OpenAPI document, against a stack of its own."""

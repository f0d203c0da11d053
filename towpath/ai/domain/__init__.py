"""AI jobs as pure functions: what is asked of a model, what is made of its answers, and charts of the rows."""

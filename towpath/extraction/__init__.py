"""Documents to data, with review by a person."""

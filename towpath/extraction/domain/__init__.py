"""Documents as pure functions: labels to values, values to a schema's properties.

Start with `fields.py` and `matching.py`; which kind a file is, and how words become a page's text, stands in `towpath.documents`.
"""

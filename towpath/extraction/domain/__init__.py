"""Documents as pure functions: labels to values, values to a schema's properties.

Start with `fields.py` and `matching.py`; kinds of files and the text of pages are in `towpath.documents`.
"""

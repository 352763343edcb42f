"""Everything a browser sees: views, templates, static files."""

"""The control plane: decides, and owns the rows."""

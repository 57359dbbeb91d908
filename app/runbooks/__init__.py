"""Guided runbooks: led by questions to the cause and the fix, with a record that others resume."""

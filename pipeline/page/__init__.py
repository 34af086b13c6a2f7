"""Shared by the pages that steps write: style sheet, pictures with masks, and templates."""

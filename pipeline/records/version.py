"""The version of the prepared sample format, apart from Arrow so that a plan check can hash it cheaply."""

SCHEMA_VERSION = 4

"""The sample record and the codec of masks."""

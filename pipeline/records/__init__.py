"""The record that flows, and the codec of masks."""

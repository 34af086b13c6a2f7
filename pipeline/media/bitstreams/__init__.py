"""Headers of coded pictures, read from packets without decoding."""

"""Videos and still images: opening, probing, decoding, and which frames a sample needs."""

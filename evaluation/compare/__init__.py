"""Two models on the same samples: what ``ufvideo compare`` does."""

"""Ask a checkpoint one question about one video: in Python, and the process behind `ufvideo predict`."""

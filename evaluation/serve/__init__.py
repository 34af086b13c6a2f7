"""A page that asks a checkpoint about videos: the process behind `ufvideo serve`."""

"""Times: seconds, bins, frames, and how texts write them."""

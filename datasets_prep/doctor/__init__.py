"""``ufvideo doctor``: what is wrong with a plan's sources, told before anything is made of them."""

"""The `ufvideo` command, one module for each longer subcommand."""

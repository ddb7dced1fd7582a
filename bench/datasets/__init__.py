"""Where the benchmark gets its assets from. One file each."""

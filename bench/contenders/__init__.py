"""What the benchmark compares: codecs of this program, and peers. One file each."""

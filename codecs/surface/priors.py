"""Initial counts of the adaptive tables of `mesh.surface`. Part of the format: changing one needs a new wire number."""

CONNECTIVITY_PRIOR = [[256, 256, 256, 256, 64]] * 96
SEED_PRIOR = [[1024, 64], [1024, 64], [1024, 64]]

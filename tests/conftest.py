"""Shared set-up. Its place makes `import sample_assets` work in every test folder."""

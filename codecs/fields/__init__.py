"""Parts of `field.blocks`."""

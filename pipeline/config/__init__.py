"""The language of plan files: one module per section, all frozen, every unknown key an error."""

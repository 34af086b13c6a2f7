"""What the pages that steps write share: a look, pictures with masks, and one way to fill a template."""

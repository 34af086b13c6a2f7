"""A language model as judge of free text: its instructions, its limits, and its stored judgements."""

"""``make toy-weights``: what the toy's towers know before UFVideo is trained, as SigLIP and SAM 2 do."""

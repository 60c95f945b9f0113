"""One objective a file: what an encoder is pretrained on."""

"""One picture file as pixels: opened by content, turned, converted to sRGB, its alpha and mask kept apart."""

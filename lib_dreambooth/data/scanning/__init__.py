"""From concepts to items: folders listed, files hashed, captions and masks found, what is wrong reported."""

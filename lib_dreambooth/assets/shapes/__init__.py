"""The drawn world of the miniature: pictures with one shape on one ground, their words, and a judge of pixels."""

"""The world of the miniature: pictures with one shape on one ground, their words, a judge of pixels."""
